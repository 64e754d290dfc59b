// QM9's targets: names, units, order in its own files, and the energies of free atoms that make atomization energies.

export interface Qm9Target {
  readonly name: string;
  readonly meaning: string;
  /** Unit of the original files. */
  readonly unit: string;
  /** Whether the value is an energy in hartree, of which `<name>_eV` is derived. */
  readonly energy: boolean;
}

/** The twelve targets (Ramakrishnan et al. 2014, table 3), without the rotational constants A, B, C. */
export const QM9_TARGETS: readonly Qm9Target[] = [
  { name: "mu", meaning: "dipole moment", unit: "D", energy: false },
  { name: "alpha", meaning: "isotropic polarizability", unit: "bohr^3", energy: false },
  { name: "homo", meaning: "energy of the highest occupied orbital", unit: "hartree", energy: true },
  { name: "lumo", meaning: "energy of the lowest unoccupied orbital", unit: "hartree", energy: true },
  { name: "gap", meaning: "lumo - homo", unit: "hartree", energy: true },
  { name: "r2", meaning: "electronic spatial extent", unit: "bohr^2", energy: false },
  { name: "zpve", meaning: "zero point vibrational energy", unit: "hartree", energy: true },
  { name: "u0", meaning: "internal energy at 0 K", unit: "hartree", energy: true },
  { name: "u298", meaning: "internal energy at 298.15 K", unit: "hartree", energy: true },
  { name: "h298", meaning: "enthalpy at 298.15 K", unit: "hartree", energy: true },
  { name: "g298", meaning: "free energy at 298.15 K", unit: "hartree", energy: true },
  { name: "cv", meaning: "heat capacity at 298.15 K", unit: "cal/(mol K)", energy: false },
];

/** Values of the second line of a `dsgdb9nsd_*.xyz` file after "gdb" and the index. */
export const QM9_XYZ_COLUMNS = ["A", "B", "C", ...QM9_TARGETS.map((target) => target.name)];

/** eV; CODATA 2018. */
export const HARTREE_EV = 27.211386245988;

/** Energies of free atoms at the level of theory of QM9, in hartree (`atomref.txt` of the data set). */
const FREE_ATOMS: Readonly<Record<string, Readonly<Record<string, number>>>> = {
  H: { u0: -0.500273, u298: -0.498857, h298: -0.497912, g298: -0.510927 },
  C: { u0: -37.846772, u298: -37.845355, h298: -37.844411, g298: -37.861317 },
  N: { u0: -54.583861, u298: -54.582445, h298: -54.581501, g298: -54.598897 },
  O: { u0: -75.064579, u298: -75.063163, h298: -75.062219, g298: -75.079532 },
  F: { u0: -99.71873, u298: -99.717314, h298: -99.71637, g298: -99.733544 },
};

const ATOMIZED = ["u0", "u298", "h298", "g298"] as const;

/**
 * The properties of a QM9 molecule with its energies in eV beside those in hartree: `homo_eV`, ..., `u0_eV`, and
 * `u0_atomization_eV`, ... = molecule minus its free atoms. What is missing or no number stays missing.
 *
 * @param elements symbol of every atom, hydrogens included; null where they are not known, which leaves out the atomization energies
 */
export function withQm9Energies(
  properties: Readonly<Record<string, string>>,
  elements: readonly string[] | null,
): Record<string, string> {
  const all: Record<string, string> = { ...properties };
  const value = (name: string) => (properties[name]?.trim() ? Number(properties[name]) : Number.NaN);
  for (const { name, energy } of QM9_TARGETS) {
    if (energy && Number.isFinite(value(name))) all[`${name}_eV`] = String(value(name) * HARTREE_EV);
  }
  if (elements?.every((element) => element in FREE_ATOMS)) {
    for (const name of ATOMIZED) {
      const atoms = elements.reduce((sum, element) => sum + FREE_ATOMS[element][name], 0);
      if (Number.isFinite(value(name))) all[`${name}_atomization_eV`] = String((value(name) - atoms) * HARTREE_EV);
    }
  }
  return all;
}
