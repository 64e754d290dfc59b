// Reads Python pickles (protocols 0 to 5) as plain data; it runs nothing a pickle names, but for a fixed list of constructors.
import { DatasetError } from "../errors.js";
import { longFromBytes, PickleBytes, small } from "./pickle-bytes.js";
import { NUMPY_GLOBALS } from "./pickle-numpy.js";

/**
 * A name that a pickle may use. `call` stands for calling it, `build` for `__setstate__` on what it made; both only make plain data.
 */
export interface PickleGlobal {
  readonly name: string;
  call(args: readonly unknown[]): unknown;
  build?(target: unknown, state: unknown): unknown;
}

export interface UnpickleOptions {
  /** Further names, as `module name`, beside those of Python's own containers and of numpy. */
  readonly globals?: Readonly<Record<string, Omit<PickleGlobal, "name">>>;
  /** Resolves what a pickle stores outside of itself (torch's storages). */
  readonly persistentLoad?: (id: unknown) => unknown;
}

const BUILTIN_GLOBALS: Readonly<Record<string, Omit<PickleGlobal, "name">>> = {
  "collections OrderedDict": { call: ([pairs]) => new Map((pairs as [unknown, unknown][] | undefined) ?? []) },
  // How Python 3 writes bytes below protocol 3: as text whose characters are the bytes.
  "_codecs encode": { call: ([text]) => Uint8Array.from(Buffer.from(String(text), "latin1")) },
  "builtins bytearray": { call: ([bytes]) => bytes ?? new Uint8Array() },
  "builtins set": { call: ([items]) => new Set(items as unknown[]) },
  "builtins bytes": { call: ([bytes]) => bytes ?? new Uint8Array() },
};

const MARK = Symbol("mark");

/** What a pickle holds, and where it ends (`.pt` files of old hold several in a row). */
export interface Unpickled {
  readonly value: unknown;
  readonly end: number;
}

/**
 * None → null, int → number (bigint beyond 2⁵³), str → string, bytes → Uint8Array, list and tuple → array, dict → Map,
 * set → Set, numpy arrays → `NumpyArray`, numpy numbers → number.
 *
 * @throws DatasetError for damaged data, an unknown opcode, or a name that is not on the list
 */
export function unpickle(bytes: Uint8Array, options: UnpickleOptions = {}, start = 0): Unpickled {
  const machine = new PickleMachine(bytes, options, start);
  try {
    return machine.run();
  } catch (error) {
    if (error instanceof DatasetError) throw error;
    const what = error instanceof Error ? error.message : String(error);
    throw new DatasetError(`pickle: damaged near byte ${machine.at} (${what})`, { cause: error });
  }
}

class PickleMachine {
  private readonly input: PickleBytes;
  private readonly stack: unknown[] = [];
  private readonly memo = new Map<number, unknown>();
  /** What made an object that may still get its state. */
  private readonly makers = new WeakMap<object, PickleGlobal>();

  constructor(
    bytes: Uint8Array,
    private readonly options: UnpickleOptions,
    start: number,
  ) {
    this.input = new PickleBytes(bytes, start);
  }

  get at(): number {
    return this.input.at;
  }

  run(): Unpickled {
    for (;;) {
      const opcode = this.input.byte();
      if (opcode === 0x2e) return { value: this.pop(), end: this.input.at }; // STOP
      const known = this.scalar(opcode) || this.container(opcode) || this.object(opcode);
      if (!known) {
        throw new DatasetError(`pickle: unknown opcode 0x${opcode.toString(16)} at byte ${this.input.at - 1}`);
      }
    }
  }

  /** Opcodes that push a value of their own. */
  private scalar(opcode: number): boolean {
    const push = (value: unknown) => this.stack.push(value) > 0;
    const { view } = this.input;
    switch (String.fromCharCode(opcode)) {
      case "N":
        return push(null);
      case "\x88":
        return push(true);
      case "\x89":
        return push(false);
      case "I":
        return push(this.oldInteger());
      case "J":
        return push(view.getInt32(this.input.skip(4), true));
      case "K":
        return push(this.input.byte());
      case "M":
        return push(view.getUint16(this.input.skip(2), true));
      case "L":
        return push(small(BigInt(this.input.textLine().replace(/L$/, ""))));
      case "\x8a":
        return push(small(longFromBytes(this.input.take(this.input.byte()))));
      case "\x8b":
        return push(small(longFromBytes(this.input.take(this.input.size(4)))));
      case "F":
        return push(Number(this.input.textLine()));
      case "G":
        return push(view.getFloat64(this.input.skip(8), false));
      case "S":
        return push(this.input.textLine().replace(/^(['"])(.*)\1$/, "$2"));
      case "V":
        return push(this.input.textLine());
      case "U":
        return push(Buffer.from(this.input.take(this.input.byte())).toString("latin1"));
      case "T":
        return push(Buffer.from(this.input.take(this.input.size(4))).toString("latin1"));
      case "X":
        return push(Buffer.from(this.input.take(this.input.size(4))).toString("utf8"));
      case "\x8c":
        return push(Buffer.from(this.input.take(this.input.byte())).toString("utf8"));
      case "\x8d":
        return push(Buffer.from(this.input.take(this.input.size(8))).toString("utf8"));
      case "C":
        return push(this.input.take(this.input.byte()));
      case "B":
        return push(this.input.take(this.input.size(4)));
      case "\x8e":
      case "\x96":
        return push(this.input.take(this.input.size(8)));
      default:
        return false;
    }
  }

  /** Opcodes of lists, tuples, dicts, sets, and of the stack itself. */
  private container(opcode: number): boolean {
    const { stack } = this;
    switch (String.fromCharCode(opcode)) {
      case "(":
        stack.push(MARK);
        return true;
      case "0":
        this.pop();
        return true;
      case "1":
        this.popMark();
        return true;
      case "2":
        stack.push(this.top());
        return true;
      case ")":
      case "]":
        stack.push([]);
        return true;
      case "l":
      case "t":
        stack.push(this.popMark());
        return true;
      case "\x85":
      case "\x86":
      case "\x87":
        stack.push(this.popMany(opcode - 0x84));
        return true;
      case "}":
        stack.push(new Map());
        return true;
      case "d":
        stack.push(setItems(new Map(), this.popMark()));
        return true;
      case "a":
        appendAll(this.top(1), [this.pop()]);
        return true;
      case "e":
        this.withMarked(appendAll);
        return true;
      case "s":
        this.setOne(this.popMany(2));
        return true;
      case "u":
        this.withMarked(setItems);
        return true;
      case "\x8f":
        stack.push(new Set());
        return true;
      case "\x90":
        this.withMarked(addAll);
        return true;
      case "\x91":
        stack.push(new Set(this.popMark()));
        return true;
      default:
        return false;
    }
  }

  /** Opcodes of memo, names, calls and frames. */
  private object(opcode: number): boolean {
    switch (String.fromCharCode(opcode)) {
      case "\x80":
        if (this.input.byte() > 5) throw new DatasetError("pickle: expected protocol 5 at most");
        return true;
      case "\x95":
        this.input.skip(8);
        return true;
      case "p":
        return this.remember(Number(this.input.textLine()));
      case "q":
        return this.remember(this.input.byte());
      case "r":
        return this.remember(this.input.size(4));
      case "\x94":
        return this.remember(this.memo.size);
      case "g":
        return this.recall(Number(this.input.textLine()));
      case "h":
        return this.recall(this.input.byte());
      case "j":
        return this.recall(this.input.size(4));
      case "c":
        this.stack.push(this.global(this.input.textLine(), this.input.textLine()));
        return true;
      case "\x93": {
        const [module, name] = this.popMany(2);
        this.stack.push(this.global(String(module), String(name)));
        return true;
      }
      case "R":
      case "\x81": {
        const [callee, args] = this.popMany(2);
        this.stack.push(this.call(callee, args));
        return true;
      }
      case "b": {
        const state = this.pop();
        this.stack.push(this.build(this.pop(), state));
        return true;
      }
      case "Q":
        this.stack.push(this.persistent(this.pop()));
        return true;
      case "P":
        this.stack.push(this.persistent(this.input.textLine()));
        return true;
      default:
        return false;
    }
  }

  private global(module: string, name: string): PickleGlobal {
    const key = `${module.replace(/^__builtin__$/, "builtins")} ${name}`;
    const found = this.options.globals?.[key] ?? NUMPY_GLOBALS[key] ?? BUILTIN_GLOBALS[key];
    if (!found) {
      throw new DatasetError(`pickle: it names ${module}.${name}, which is not on the list of what may be read`);
    }
    return { ...found, name: key };
  }

  private call(callee: unknown, args: unknown): unknown {
    if (!isGlobal(callee) || !Array.isArray(args))
      throw new DatasetError("pickle: a call of something that is no name");
    const made = callee.call(args);
    if (typeof made === "object" && made !== null && callee.build) this.makers.set(made, callee);
    return made;
  }

  private build(target: unknown, state: unknown): unknown {
    const maker = typeof target === "object" && target !== null ? this.makers.get(target) : undefined;
    if (!maker?.build) throw new DatasetError("pickle: a state for an object that takes none");
    return maker.build(target, state);
  }

  private persistent(id: unknown): unknown {
    if (!this.options.persistentLoad) throw new DatasetError("pickle: it refers to data outside of itself");
    return this.options.persistentLoad(id);
  }

  private remember(key: number): boolean {
    this.memo.set(key, this.top());
    return true;
  }

  private recall(key: number): boolean {
    if (!this.memo.has(key)) throw new DatasetError(`pickle: it refers to memo ${key}, which was never set`);
    this.stack.push(this.memo.get(key));
    return true;
  }

  private setOne(pair: readonly unknown[]): void {
    setItems(this.top(), pair);
  }

  /** Applies the items above the mark to the object below it. */
  private withMarked(apply: (target: unknown, items: unknown[]) => void): void {
    const items = this.popMark();
    apply(this.top(), items);
  }

  private top(depth = 0): unknown {
    if (this.stack.length <= depth) throw new DatasetError("pickle: its stack is empty");
    return this.stack[this.stack.length - 1 - depth];
  }

  private pop(): unknown {
    if (this.stack.length === 0) throw new DatasetError("pickle: its stack is empty");
    return this.stack.pop();
  }

  private popMany(count: number): unknown[] {
    if (this.stack.length < count) throw new DatasetError("pickle: its stack is empty");
    return this.stack.splice(this.stack.length - count);
  }

  private popMark(): unknown[] {
    const mark = this.stack.lastIndexOf(MARK);
    if (mark < 0) throw new DatasetError("pickle: no mark on its stack");
    return this.stack.splice(mark).slice(1);
  }

  /** Protocol 0 writes True and False as the integers 01 and 00. */
  private oldInteger(): number | boolean | bigint {
    const text = this.input.textLine();
    if (text === "01" || text === "00") return text === "01";
    return small(BigInt(text));
  }
}

function isGlobal(value: unknown): value is PickleGlobal {
  return typeof value === "object" && value !== null && "call" in value && "name" in value;
}

function appendAll(target: unknown, items: readonly unknown[]): void {
  if (!Array.isArray(target)) throw new DatasetError("pickle: items for something that is no list");
  for (const item of items) target.push(item);
}

function addAll(target: unknown, items: readonly unknown[]): void {
  if (!(target instanceof Set)) throw new DatasetError("pickle: items for something that is no set");
  for (const item of items) target.add(item);
}

function setItems(target: unknown, pairs: readonly unknown[]): Map<unknown, unknown> {
  if (!(target instanceof Map)) throw new DatasetError("pickle: items for something that is no dict");
  for (let i = 0; i + 1 < pairs.length; i += 2) target.set(pairs[i], pairs[i + 1]);
  return target;
}
