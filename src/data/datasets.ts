// The public data sets that can be downloaded: where each lies, under which licence, and how to prepare it.
import { ConfigError } from "../errors.js";
import { LABELLED_SETS, type LabelledSet } from "./labelled-sets.js";

export interface DatasetFile {
  readonly url: string;
  /** Name in the folder of the set. */
  readonly file: string;
  readonly bytes?: number;
  readonly sha256?: string;
  readonly md5?: string;
  /** Take it apart in the folder of the set after the download. */
  readonly unpack?: "tar" | "zip";
}

export interface Dataset {
  readonly name: string;
  readonly title: string;
  /** As its publishers state it, as far as known. */
  readonly licence: string;
  /** Page or paper of the set. */
  readonly home: string;
  readonly files: readonly DatasetFile[];
  /** Bytes to download, roughly, where known. */
  readonly approximateBytes?: number;
  /** Whether the URLs, sizes and checksums were checked against the servers when this version was made. */
  readonly verified: boolean;
  /** What is given to `prepare`, below the folder of the set. */
  readonly input: string;
  /** Further options of `prepare`. */
  readonly options: readonly string[];
}

const DEEPCHEM = "https://deepchemdata.s3-us-west-1.amazonaws.com/datasets";
const MOLECULENET_HOME = "https://moleculenet.org/datasets-1";

/** Files of the sets of MoleculeNet as DeepChem hosts them. */
const MOLECULENET: Readonly<Record<string, readonly [file: string, licence: string]>> = {
  bbbp: ["BBBP.csv", "not stated by the publishers (Martins et al. 2012); DeepChem's copy: MIT"],
  bace: ["bace.csv", "not stated by the publishers (Subramanian et al. 2016); DeepChem's copy: MIT"],
  clintox: ["clintox.csv.gz", "not stated by the publishers (Gayvert et al. 2016); DeepChem's copy: MIT"],
  tox21: ["tox21.csv.gz", "public domain (NIH Tox21 challenge); DeepChem's copy: MIT"],
  toxcast: ["toxcast_data.csv.gz", "public domain (US EPA ToxCast); DeepChem's copy: MIT"],
  sider: ["sider.csv.gz", "CC BY-NC-SA 4.0 (SIDER 4)"],
  hiv: ["HIV.csv", "public domain (NCI DTP); DeepChem's copy: MIT"],
  muv: ["muv.csv.gz", "not stated by the publishers (Rohrer and Baumann 2009); DeepChem's copy: MIT"],
  esol: ["delaney-processed.csv", "not stated by the publishers (Delaney 2004); DeepChem's copy: MIT"],
  freesolv: ["SAMPL.csv", "CC BY-NC-SA 4.0 (FreeSolv)"],
  lipo: ["Lipophilicity.csv", "CC BY-SA 3.0 (ChEMBL)"],
};

function moleculenet({ name, title }: LabelledSet): Dataset[] {
  const entry = MOLECULENET[name];
  if (!entry) return [];
  const [file, licence] = entry;
  const files = [{ url: `${DEEPCHEM}/${file}`, file }];
  const options = ["--dataset", name];
  return [{ name, title, licence, home: MOLECULENET_HOME, files, verified: false, input: file, options }];
}

export const DATASETS: readonly Dataset[] = [
  {
    name: "pcqm4mv2",
    title: "PCQM4Mv2: 3.7 million molecules with HOMO-LUMO gaps, 3.4 million of them with DFT geometries",
    licence: "CC BY 4.0",
    home: "https://ogb.stanford.edu/docs/lsc/pcqm4mv2/",
    files: [
      {
        url: "https://dgl-data.s3-accelerate.amazonaws.com/dataset/OGB-LSC/pcqm4m-v2.zip",
        ...{ file: "pcqm4m-v2.zip", unpack: "zip" as const },
      },
      {
        url: "http://ogb-data.stanford.edu/data/lsc/pcqm4m-v2-train.sdf.tar.gz",
        ...{ file: "pcqm4m-v2-train.sdf.tar.gz", md5: "fd72bce606e7ddf36c2a832badeec6ab" },
      },
    ],
    ...{ approximateBytes: 1_600_000_000, verified: false, input: "pcqm4m-v2", options: ["--dataset", "pcqm4mv2"] },
  },
  {
    name: "qm9",
    title: "QM9: 133,885 small molecules with DFT geometries and 12 properties",
    licence: "CC0 1.0",
    home: "https://doi.org/10.6084/m9.figshare.c.978904",
    files: [
      { url: `${DEEPCHEM}/gdb9.tar.gz`, file: "gdb9.tar.gz", unpack: "tar" },
      { url: "https://ndownloader.figshare.com/files/3195404", file: "uncharacterized.txt" },
    ],
    ...{ approximateBytes: 46_000_000, verified: false, input: "gdb9.sdf" },
    options: ["--dataset", "qm9", "--exclude", "uncharacterized.txt"],
  },
  ...LABELLED_SETS.flatMap(moleculenet),
];

/** @throws ConfigError for a name that is not known */
export function findDataset(name: string): Dataset {
  const found = DATASETS.find((dataset) => dataset.name === name.toLowerCase());
  if (found) return found;
  const known = DATASETS.map((dataset) => dataset.name).join(", ");
  throw new ConfigError(`data set ${JSON.stringify(name)}: expected one of ${known}`);
}
