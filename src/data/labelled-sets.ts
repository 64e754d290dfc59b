// The labelled data sets that are known by name: what their columns mean, the kind of task, the metric and the usual split.
import { ConfigError, DatasetError } from "../errors.js";
import { QM9_TARGETS } from "./qm9.js";

export interface LabelledSet {
  readonly name: string;
  readonly title: string;
  readonly task: "classification" | "regression";
  /** Measure of the reference. */
  readonly metric: "roc-auc" | "rmse" | "mae";
  /** Rows as far as known (chemprop's cleaned copies for MoleculeNet); copies differ by a few. */
  readonly molecules: number;
  /** How the reference splits it: by Bemis-Murcko scaffold, at random, or as published. */
  readonly split: "scaffold" | "random" | "published";
  /** Names of the SMILES column in the copies that go around; empty for sets that are no tables of SMILES. */
  readonly smilesColumns: readonly string[];
  readonly labels: KnownLabels;
  /** Unit of the labels, where it is one. */
  readonly unit?: string;
}

type KnownLabels =
  /** For each label, the names its column has in the copies that go around. */
  | { readonly kind: "named"; readonly columns: readonly (readonly string[])[] }
  /** All columns but the SMILES and those that name the molecule. */
  | { readonly kind: "all"; readonly count: number; readonly otherColumns: readonly string[] };

const named = (...columns: readonly (string | readonly string[])[]): KnownLabels => ({
  kind: "named",
  columns: columns.map((names) => (typeof names === "string" ? [names] : names)),
});

const TOX21 = [
  ...["NR-AR", "NR-AR-LBD", "NR-AhR", "NR-Aromatase", "NR-ER", "NR-ER-LBD", "NR-PPAR-gamma"],
  ...["SR-ARE", "SR-ATAD5", "SR-HSE", "SR-MMP", "SR-p53"],
];

const MUV = [466, 548, 600, 644, 652, 689, 692, 712, 713, 733, 737, 810, 832, 846, 852, 858, 859];

const SIDER = [
  "Hepatobiliary disorders",
  "Metabolism and nutrition disorders",
  "Product issues",
  "Eye disorders",
  "Investigations",
  "Musculoskeletal and connective tissue disorders",
  "Gastrointestinal disorders",
  "Social circumstances",
  "Immune system disorders",
  "Reproductive system and breast disorders",
  "Neoplasms benign, malignant and unspecified (incl cysts and polyps)",
  "General disorders and administration site conditions",
  "Endocrine disorders",
  "Surgical and medical procedures",
  "Vascular disorders",
  "Blood and lymphatic system disorders",
  "Skin and subcutaneous tissue disorders",
  "Congenital, familial and genetic disorders",
  "Infections and infestations",
  "Respiratory, thoracic and mediastinal disorders",
  "Psychiatric disorders",
  "Renal and urinary disorders",
  "Pregnancy, puerperium and perinatal conditions",
  "Ear and labyrinth disorders",
  "Cardiac disorders",
  "Nervous system disorders",
  "Injury, poisoning and procedural complications",
];

const classification = {
  task: "classification",
  metric: "roc-auc",
  split: "scaffold",
  smilesColumns: ["smiles"],
} as const;
const regression = { task: "regression", metric: "rmse", split: "scaffold", smilesColumns: ["smiles"] } as const;

export const LABELLED_SETS: readonly LabelledSet[] = [
  {
    name: "bbbp",
    title: "BBBP: blood-brain barrier penetration",
    ...classification,
    molecules: 2039,
    labels: named("p_np"),
  },
  {
    ...{ name: "bace", title: "BACE: inhibition of beta-secretase 1", ...classification, molecules: 1513 },
    ...{ smilesColumns: ["mol", "smiles"], labels: named("Class") },
  },
  {
    ...{
      name: "clintox",
      title: "ClinTox: approval and toxicity in clinical trials",
      ...classification,
      molecules: 1478,
    },
    labels: named("FDA_APPROVED", "CT_TOX"),
  },
  { name: "tox21", title: "Tox21: 12 toxicity assays", ...classification, molecules: 7831, labels: named(...TOX21) },
  {
    ...{ name: "toxcast", title: "ToxCast: 617 toxicity assays", ...classification, molecules: 8576 },
    labels: { kind: "all", count: 617, otherColumns: ["mol_id", "name", "id"] },
  },
  {
    name: "sider",
    title: "SIDER: 27 classes of side effects",
    ...classification,
    molecules: 1427,
    labels: named(...SIDER),
  },
  {
    name: "hiv",
    title: "HIV: inhibition of HIV replication",
    ...classification,
    molecules: 41127,
    labels: named("HIV_active"),
  },
  {
    ...{ name: "muv", title: "MUV: 17 targets of virtual screening", ...classification, molecules: 93087 },
    labels: named(...MUV.map((assay) => `MUV-${assay}`)),
  },
  {
    ...{ name: "esol", title: "ESOL: solubility in water", ...regression, molecules: 1128, unit: "log10(mol/l)" },
    labels: named(["measured log solubility in mols per litre", "logSolubility", "logp"]),
  },
  {
    ...{
      name: "freesolv",
      title: "FreeSolv: free energy of hydration",
      ...regression,
      molecules: 642,
      unit: "kcal/mol",
    },
    labels: named(["expt", "freesolv"]),
  },
  {
    ...{
      name: "lipo",
      title: "Lipophilicity: octanol/water distribution",
      ...regression,
      molecules: 4200,
      unit: "logD",
    },
    labels: named(["exp", "lipo"]),
  },
  {
    ...{ name: "qm9", title: "QM9: 12 quantum-chemical properties", ...regression, metric: "mae", split: "random" },
    ...{ molecules: 133885, smilesColumns: [], labels: named(...QM9_TARGETS.map((target) => target.name)) },
  },
  {
    ...{ name: "pcqm4mv2", title: "PCQM4Mv2: HOMO-LUMO gap", ...regression, metric: "mae", split: "published" },
    ...{ molecules: 3746620, smilesColumns: [], labels: named("homolumogap"), unit: "eV" },
  },
];

/** @throws ConfigError for a name that is not known */
export function labelledSet(name: string): LabelledSet {
  const found = LABELLED_SETS.find((set) => set.name === name.toLowerCase());
  if (found) return found;
  const known = LABELLED_SETS.map((set) => set.name).join(", ");
  throw new ConfigError(`data set ${JSON.stringify(name)}: expected one of ${known}`);
}

/** The columns of a copy of a data set that hold the SMILES (none for sets that are no tables) and the labels. */
export interface SetColumns {
  readonly smiles: string | undefined;
  readonly labels: readonly string[];
}

/**
 * Finds the columns of a set among those of a file.
 * @param columns null where they cannot be known beforehand (SD files, databases): then the first name of each label is taken
 * @throws DatasetError where one is not there
 */
export function columnsOfSet(set: LabelledSet, file: string, columns: readonly string[] | null): SetColumns {
  if (columns === null) {
    if (set.labels.kind === "named") return { smiles: undefined, labels: set.labels.columns.map(([name]) => name) };
    throw new DatasetError(`${file}: expected ${set.name} as a table (CSV or TSV)`);
  }
  const pick = (what: string, names: readonly string[]) => {
    const found = names.find((name) => columns.includes(name));
    if (found !== undefined) return found;
    const has = columns.slice(0, 40).join(", ");
    throw new DatasetError(
      `${file}: expected ${what} of ${set.name} in the column ${names.join(" or ")}, got the columns ${has}`,
    );
  };
  const smiles = set.smilesColumns.length > 0 ? pick("the SMILES", set.smilesColumns) : undefined;
  const { labels } = set;
  if (labels.kind === "named") return { smiles, labels: labels.columns.map((names) => pick("a label", names)) };
  const others = columns.filter((name) => name !== smiles && !labels.otherColumns.includes(name));
  if (others.length !== labels.count) {
    throw new DatasetError(`${file}: expected ${labels.count} label columns of ${set.name}, got ${others.length}`);
  }
  return { smiles, labels: others };
}
