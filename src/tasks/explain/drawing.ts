// Draws what a prediction rests on: atoms, pairs and attention of one molecule side by side, each with a colour bar.
import { type Colour, depict } from "../../chem/depict.js";
import type { Molecule } from "../../chem/molecule.js";
import type { Rdkit } from "../../chem/rdkit.js";
import { writeSmiles, writtenOrder } from "../../chem/write-smiles.js";
import { type Attribution, strongestPairs } from "./attribution.js";

const PANEL = { width: 330, height: 280 } as const;
const HEADER = 62;
const FOOTER = 52;
const GAP = 14;
const FONT = "Helvetica, Arial, 'Liberation Sans', sans-serif";

/** Ends of the scales; the two of signed values are told apart by colour-blind readers too. */
const RAISES: Colour = [0.84, 0.37, 0];
const LOWERS: Colour = [0, 0.45, 0.7];
const ATTENDED: Colour = [0, 0.62, 0.45];
const PAIRS_DRAWN = 10;

/** White at 0, `full` at 1. */
function tint(full: Colour, share: number): Colour {
  const s = Math.min(1, Math.max(0, share));
  return [1 - s * (1 - full[0]), 1 - s * (1 - full[1]), 1 - s * (1 - full[2])];
}

const signed = (value: number, largest: number): Colour =>
  tint(value >= 0 ? RAISES : LOWERS, largest > 0 ? Math.abs(value) / largest : 0);

const hex = (colour: Colour) =>
  `#${colour
    .map((part) =>
      Math.round(255 * part)
        .toString(16)
        .padStart(2, "0"),
    )
    .join("")}`;

const escapeXml = (text: string) => text.replace(/[&<>"']/g, (c) => `&#${c.charCodeAt(0)};`);

const largestOf = (values: Iterable<number>): number => {
  let largest = 0;
  for (const value of values) largest = Math.max(largest, Math.abs(value));
  return largest;
};

export interface ExplanationDrawing {
  readonly molecule: Molecule;
  readonly attribution: Attribution;
  readonly title: string;
  /** "solubility predicted: -2.3". */
  readonly subtitle: string;
  /** "log-odds", or the unit of the output. */
  readonly unit: string;
}

/** @returns a whole SVG file, or null where RDKit cannot draw the molecule */
export function drawExplanation(rdkit: Rdkit, drawing: ExplanationDrawing): string | null {
  const { molecule, attribution, unit } = drawing;
  const smiles = writeSmiles(molecule);
  // Drawn atoms are numbered as they are written.
  const place = new Map(writtenOrder(molecule).map((atom, at) => [atom, at]));
  const panel = (colourOf: (atom: number) => Colour) =>
    depict(rdkit, smiles, {
      ...PANEL,
      atomColours: new Map(Array.from(attribution.own, (_, atom) => [place.get(atom) as number, colourOf(atom)])),
    });
  const largest = largestOf(attribution.atoms);
  const most = largestOf(attribution.rollout);
  const atoms = panel((atom) => signed(attribution.atoms[atom], largest));
  const plain = panel(() => [1, 1, 1]);
  const rollout = panel((atom) => tint(ATTENDED, attribution.rollout[atom] / most));
  if (!atoms || !plain || !rollout) return null;
  const pairs = strongestPairs(attribution, PAIRS_DRAWN);
  const strongest = largestOf(pairs.map(({ value }) => value));
  const panels = [
    { title: "atoms: raise or lower the prediction", svg: atoms, bar: signedBar(largest, unit) },
    {
      title: `pairs: the ${pairs.length} strongest relations`,
      svg: withPairs(plain, pairs, strongest, place),
      bar: signedBar(strongest, unit),
    },
    { title: "attention that reaches the readout", svg: rollout, bar: shareBar(most) },
  ];
  return compose(drawing, panels);
}

interface Panel {
  readonly title: string;
  readonly svg: string;
  readonly bar: string;
}

function compose({ title, subtitle }: ExplanationDrawing, panels: readonly Panel[]): string {
  const width = panels.length * PANEL.width + (panels.length + 1) * GAP;
  const height = HEADER + 24 + PANEL.height + FOOTER;
  const text = (x: number, y: number, size: number, words: string, weight = "normal") =>
    `<text x="${x}" y="${y}" font-size="${size}" font-weight="${weight}" fill="#222">${escapeXml(words)}</text>`;
  const shortened = title.length > 120 ? `${title.slice(0, 119)}…` : title;
  const body = panels.map(({ title: name, svg, bar }, i) => {
    const x = GAP + i * (PANEL.width + GAP);
    return [
      text(x + 4, HEADER + 12, 13, name, "bold"),
      `<g transform="translate(${x},${HEADER + 20})">${svg}</g>`,
      `<g transform="translate(${x + 24},${HEADER + 30 + PANEL.height})">${bar}</g>`,
    ].join("\n");
  });
  return [
    `<?xml version="1.0" encoding="UTF-8"?>`,
    `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}" font-family="${FONT}">`,
    `<rect width="100%" height="100%" fill="white"/>`,
    text(GAP + 4, 26, 15, shortened, "bold"),
    text(GAP + 4, 46, 13, subtitle),
    ...body,
    "</svg>\n",
  ].join("\n");
}

const BAR = { width: 282, height: 10, steps: 47 } as const;

function bar(colourAt: (share: number) => Colour, labels: readonly [string, string, string]): string {
  const step = BAR.width / BAR.steps;
  const cells = Array.from({ length: BAR.steps }, (_, i) => {
    const colour = hex(colourAt(i / (BAR.steps - 1)));
    return `<rect x="${(i * step).toFixed(2)}" width="${(step + 0.3).toFixed(2)}" height="${BAR.height}" fill="${colour}"/>`;
  });
  const anchors = ["start", "middle", "end"] as const;
  const words = labels.map(
    (label, i) =>
      `<text x="${(i * BAR.width) / 2}" y="24" font-size="11" text-anchor="${anchors[i]}" fill="#444">${escapeXml(label)}</text>`,
  );
  return [...cells, `<rect width="${BAR.width}" height="${BAR.height}" fill="none" stroke="#999"/>`, ...words].join("");
}

const brief = (value: number) => Number(value.toPrecision(2)).toString();

function signedBar(largest: number, unit: string): string {
  const end = brief(largest);
  return bar((share) => signed(2 * share - 1, 1), [`−${end}`, `0 ${unit}`, `+${end}`]);
}

const shareBar = (most: number) => bar((share) => tint(ATTENDED, share), ["0", "share of attention", brief(most)]);

/** Arcs over the drawing, thicker and fuller the stronger the pair; where atoms lie is read off their highlights. */
function withPairs(
  svg: string,
  pairs: readonly { readonly first: number; readonly second: number; readonly value: number }[],
  strongest: number,
  place: ReadonlyMap<number, number>,
): string {
  const centres = new Map<number, readonly [number, number]>();
  for (const [, x, y, atom] of svg.matchAll(/<ellipse cx='([\d.]+)' cy='([\d.]+)'[^>]*class='atom-(\d+)'/g))
    centres.set(Number(atom), [Number(x), Number(y)]);
  const arcs = pairs.map(({ first, second, value }) => {
    const a = centres.get(place.get(first) as number);
    const b = centres.get(place.get(second) as number);
    if (!a || !b) return "";
    const share = strongest > 0 ? Math.abs(value) / strongest : 0;
    // Bent to one side, so that arcs between distant atoms do not lie on bonds.
    const bend = 0.18;
    const middle = [(a[0] + b[0]) / 2 - bend * (b[1] - a[1]), (a[1] + b[1]) / 2 + bend * (b[0] - a[0])];
    const path = `M${a[0]} ${a[1]} Q${middle[0].toFixed(1)} ${middle[1].toFixed(1)} ${b[0]} ${b[1]}`;
    const colour = hex(value >= 0 ? RAISES : LOWERS);
    return `<path d="${path}" fill="none" stroke="${colour}" stroke-width="${(1 + 4 * share).toFixed(2)}" stroke-opacity="${(0.25 + 0.55 * share).toFixed(2)}" stroke-linecap="round"/>`;
  });
  return svg.replace(/<\/svg>\s*$/, `${arcs.join("\n")}\n</svg>`);
}
