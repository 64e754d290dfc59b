// An interpreter of Python's pickle format that builds plain data from an allow-list and never runs anything.
//
// Format: CPython's Lib/pickletools.py (protocols 0 to 5). A global that is not on the list, an extension code or an
// out-of-band buffer ends it with an error; limits hold for every count that a file can claim.
import { allowedGlobal, construct, type StorageReader } from "./allowed-globals.js";
import type { ByteReader } from "./byte-reader.js";
import { decimalFloat, decimalInteger, latin1, longInteger, quoted, unicodeLine } from "./pickle-literals.js";
import {
  checkExtent,
  float,
  isKind,
  type PythonEntry,
  type PythonSequence,
  type PythonValue,
} from "./python-values.js";

export interface UnpickleOptions {
  /** Full names of the classes whose instances are kept as inert records. */
  readonly classes: ReadonlySet<string>;
  /** What a persistent id stands for. */
  readonly persistent: (id: PythonValue) => PythonValue;
  readonly readStorage: StorageReader;
}

const MAX_OPERATIONS = 20_000_000;
const MAX_MEMO = 5_000_000;
const MAX_STACK = 5_000_000;
const MAX_PROTOCOL = 5;

class Machine {
  readonly stack: PythonValue[] = [];
  readonly marks: number[] = [];
  readonly memo = new Map<number, PythonValue>();

  constructor(
    readonly reader: ByteReader,
    readonly options: UnpickleOptions,
  ) {}

  push(value: PythonValue): void {
    if (this.stack.push(value) > MAX_STACK) this.reader.fail(`more than ${MAX_STACK} values on the stack; refused`);
  }

  pop(): PythonValue {
    const value = this.stack.length > (this.marks.at(-1) ?? 0) ? this.stack.pop() : undefined;
    return value === undefined ? this.reader.fail("damaged: a pickle takes more values than it made") : value;
  }

  top(): PythonValue {
    const value = this.pop();
    this.stack.push(value);
    return value;
  }

  mark(): void {
    if (this.marks.push(this.stack.length) > MAX_STACK) this.reader.fail("too many marks; refused");
  }

  popMark(): PythonValue[] {
    const mark = this.marks.pop();
    return mark === undefined
      ? this.reader.fail("damaged: a pickle without the mark it needs")
      : this.stack.splice(mark);
  }

  put(index: number): void {
    if (this.memo.size >= MAX_MEMO) this.reader.fail(`more than ${MAX_MEMO} remembered values; refused`);
    this.memo.set(index, this.top());
  }

  get(index: number): void {
    const value = this.memo.get(index);
    this.push(value === undefined ? this.reader.fail(`damaged: nothing was remembered as ${index}`) : value);
  }

  global(module: string, name: string): PythonValue {
    return allowedGlobal(module, name, this.options.classes, this.reader.fail);
  }

  make(callee: PythonValue, given: readonly PythonValue[], made: "new" | "call"): void {
    this.push(construct(callee, given, made, this.options.readStorage, this.reader.fail));
  }

  tuple(value: PythonValue): readonly PythonValue[] {
    return isKind(value, "tuple") ? value.items : this.reader.fail("damaged: a call without a tuple of arguments");
  }

  append(items: readonly PythonValue[], kind: PythonSequence["kind"]): void {
    const target = this.top();
    if (!isKind(target, kind)) this.reader.fail(`damaged: adds to a value that is no ${kind}`);
    for (const item of items) (target as PythonSequence).items.push(item);
  }

  setItems(items: readonly PythonValue[]): void {
    const target = this.top();
    if (!isKind(target, "dict") && !(isKind(target, "object") && target.type === "collections.OrderedDict")) {
      this.reader.fail("damaged or refused: sets the items of a value that is no dict");
    } else for (const entry of this.pairs(items)) target.entries.push(entry);
  }

  pairs(items: readonly PythonValue[]): PythonEntry[] {
    if (items.length % 2 !== 0) this.reader.fail("damaged: a key without a value");
    return Array.from({ length: items.length / 2 }, (_, i): PythonEntry => [items[2 * i], items[2 * i + 1]]);
  }

  build(): void {
    const state = this.pop();
    const target = this.top();
    if (!isKind(target, "object")) this.reader.fail("refused: sets the state of a value that has none");
    else if (target.state !== undefined) this.reader.fail("damaged: the state of an object is set twice");
    else target.state = state;
  }
}

const bytesValue = (bytes: Uint8Array): PythonValue => ({ kind: "bytes", data: bytes.slice() });
const sequence = (kind: PythonSequence["kind"], items: PythonValue[] = []): PythonValue => ({ kind, items });
const little = (reader: ByteReader, bytes: 2 | 4): number =>
  bytes === 2 ? reader.view(2).getUint16(0, true) : reader.view(4).getUint32(0, true);

type Operation = (machine: Machine, reader: ByteReader) => void;

const literals: Readonly<Record<string, Operation>> = {
  N: (m) => m.push(null),
  "\x88": (m) => m.push(true),
  "\x89": (m) => m.push(false),
  I: (m, r) => {
    const text = r.line();
    m.push(text === "00" ? false : text === "01" ? true : decimalInteger(r, text));
  },
  J: (m, r) => m.push(r.view(4).getInt32(0, true)),
  K: (m, r) => m.push(r.byte()),
  M: (m, r) => m.push(little(r, 2)),
  L: (m, r) => m.push(decimalInteger(r, r.line().replace(/L$/, ""))),
  "\x8a": (m, r) => m.push(longInteger(r, r.byte())),
  "\x8b": (m, r) => m.push(longInteger(r, little(r, 4))),
  F: (m, r) => m.push(decimalFloat(r, r.line())),
  G: (m, r) => m.push(float(r.view(8).getFloat64(0, false))),
  S: (m, r) => m.push(quoted(r, r.line())),
  T: (m, r) => m.push(latin1(r.bytes(little(r, 4)))),
  U: (m, r) => m.push(latin1(r.bytes(r.byte()))),
  V: (m, r) => m.push(unicodeLine(r, r.line())),
  X: (m, r) => m.push(r.text(little(r, 4))),
  "\x8c": (m, r) => m.push(r.text(r.byte())),
  "\x8d": (m, r) => m.push(r.text(r.length8())),
  B: (m, r) => m.push(bytesValue(r.bytes(little(r, 4)))),
  C: (m, r) => m.push(bytesValue(r.bytes(r.byte()))),
  "\x8e": (m, r) => m.push(bytesValue(r.bytes(r.length8()))),
  "\x96": (m, r) => m.push(bytesValue(r.bytes(r.length8()))),
};

const containers: Readonly<Record<string, Operation>> = {
  "(": (m) => m.mark(),
  "0": (m) => void (m.stack.length > (m.marks.at(-1) ?? 0) ? m.pop() : m.popMark()),
  "1": (m) => void m.popMark(),
  "2": (m) => m.push(m.top()),
  "]": (m) => m.push(sequence("list")),
  l: (m) => m.push(sequence("list", m.popMark())),
  a: (m) => m.append([m.pop()], "list"),
  e: (m) => m.append(m.popMark(), "list"),
  ")": (m) => m.push(sequence("tuple")),
  t: (m) => m.push(sequence("tuple", m.popMark())),
  "\x85": (m) => m.push(sequence("tuple", [m.pop()])),
  "\x86": (m) => m.push(sequence("tuple", [m.pop(), m.pop()].reverse())),
  "\x87": (m) => m.push(sequence("tuple", [m.pop(), m.pop(), m.pop()].reverse())),
  "}": (m) => m.push({ kind: "dict", entries: [] }),
  d: (m) => m.push({ kind: "dict", entries: m.pairs(m.popMark()) }),
  s: (m) => m.setItems([m.pop(), m.pop()].reverse()),
  u: (m) => m.setItems(m.popMark()),
  "\x8f": (m) => m.push(sequence("set")),
  "\x90": (m) => m.append(m.popMark(), "set"),
  "\x91": (m) => m.push(sequence("frozenset", m.popMark())),
};

const memory: Readonly<Record<string, Operation>> = {
  p: (m, r) => m.put(Number(decimalInteger(r, r.line()))),
  q: (m, r) => m.put(r.byte()),
  r: (m, r) => m.put(little(r, 4)),
  "\x94": (m) => m.put(m.memo.size),
  g: (m, r) => m.get(Number(decimalInteger(r, r.line()))),
  h: (m, r) => m.get(r.byte()),
  j: (m, r) => m.get(little(r, 4)),
};

const objects: Readonly<Record<string, Operation>> = {
  c: (m, r) => m.push(m.global(r.line(), r.line())),
  "\x93": (m, r) => {
    const name = m.pop();
    const module = m.pop();
    if (typeof name === "string" && typeof module === "string") m.push(m.global(module, name));
    else r.fail("damaged: a global whose name is no text");
  },
  R: (m) => {
    const given = m.tuple(m.pop());
    m.make(m.pop(), given, "call");
  },
  "\x81": (m) => {
    const given = m.tuple(m.pop());
    m.make(m.pop(), given, "new");
  },
  "\x92": (m, r) => {
    const named = m.pop();
    const given = m.tuple(m.pop());
    if (!isKind(named, "dict") || named.entries.length > 0) r.fail("refused: an object made from named arguments");
    m.make(m.pop(), given, "new");
  },
  i: (m, r) => {
    const callee = m.global(r.line(), r.line());
    m.make(callee, m.popMark(), "call");
  },
  o: (m, r) => {
    const [callee, ...given] = m.popMark();
    m.make(callee ?? r.fail("damaged: an object without a class"), given, "call");
  },
  b: (m) => m.build(),
  P: (m, r) => m.push(m.options.persistent(r.line())),
  Q: (m) => m.push(m.options.persistent(m.pop())),
};

const refused =
  (what: string): Operation =>
  (_, r) =>
    r.fail(`refused: it uses ${what}; nothing was run`);

const framing: Readonly<Record<string, Operation>> = {
  "\x80": (_, r) => {
    const protocol = r.byte();
    if (protocol > MAX_PROTOCOL) r.fail(`expected pickle protocol ${MAX_PROTOCOL} or lower, got ${protocol}`);
  },
  "\x95": (_, r) => void r.bytes(8),
  "\x82": refused("extension codes"),
  "\x83": refused("extension codes"),
  "\x84": refused("extension codes"),
  "\x97": refused("buffers outside of the pickle"),
  "\x98": refused("buffers outside of the pickle"),
};

const STOP = 0x2e;
const OPERATIONS: readonly (Operation | undefined)[] = (() => {
  const table: Operation[] = [];
  for (const group of [literals, containers, memory, objects, framing]) {
    for (const [code, operation] of Object.entries(group)) table[code.charCodeAt(0)] = operation;
  }
  return table;
})();

/**
 * The value of the pickle that begins at the reader's position, which is left behind it.
 * @throws the reader's error for damage, and naming the global for anything that is not plain data
 */
export function unpickle(reader: ByteReader, options: UnpickleOptions): PythonValue {
  const machine = new Machine(reader, options);
  for (let count = 0; ; count++) {
    if (count > MAX_OPERATIONS) reader.fail(`more than ${MAX_OPERATIONS} pickle operations; refused`);
    const code = reader.byte();
    if (code === STOP) break;
    const operation = OPERATIONS[code];
    if (!operation)
      reader.fail(`damaged: 0x${code.toString(16)} at byte ${reader.position - 1} is no pickle operation`);
    operation(machine, reader);
  }
  const value = machine.pop();
  if (machine.stack.length > 0 || machine.marks.length > 0) reader.fail("damaged: a pickle that leaves values behind");
  checkExtent(value, reader.fail);
  return value;
}
