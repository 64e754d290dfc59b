// The unpickler: what it reads, and everything that is thrown at readers of pickles.
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { CheckpointError } from "../../errors.js";
import { bytesSource } from "../random-access.js";
import { TORCH_CLASSES } from "./allowed-globals.js";
import { ByteReader } from "./byte-reader.js";
import { writePickle } from "./pickle-writer.js";
import { dict, float, list, lookUp, type PythonValue, toNumber, tuple } from "./python-values.js";
import { unpickle } from "./unpickle.js";

const NO_DATA = {
  classes: TORCH_CLASSES,
  persistent: () => null,
  readStorage: () => new Uint8Array(0),
};

/** Characters up to U+00FF are bytes. */
function bytesOf(text: string): Uint8Array {
  return Uint8Array.from(text, (character) => character.charCodeAt(0));
}

function read(pickle: string | Uint8Array): PythonValue {
  const bytes = typeof pickle === "string" ? bytesOf(pickle) : pickle;
  return unpickle(new ByteReader(bytesSource(bytes, "x.pt"), 0, bytes.length, CheckpointError), NO_DATA);
}

/** Short text of protocol 4. */
const short = (text: string) => `\x8c${String.fromCharCode(text.length)}${text}`;

test("reads numbers and strings of every protocol", () => {
  assert.equal(read("I42\n."), 42);
  assert.equal(read("I01\n."), true);
  assert.equal(read("L-12345678901234567890L\n."), -12345678901234567890n);
  assert.deepEqual(read("F2.5\n."), float(2.5));
  assert.deepEqual(read("Fnan\n."), float(Number.NaN));
  assert.equal(read("S'it\\'s'\n."), "it's");
  assert.equal(read("V\\u00e9t\\U0001f600\n."), "ét😀");
  assert.equal(read("U\x02ab."), "ab");
  assert.equal(read("J\xff\xff\xff\xff."), -1);
  assert.equal(read("M\x01\x02."), 513);
  assert.equal(read("\x8a\x02\x00\xff."), -256);
  assert.equal(read("\x8a\x00."), 0);
  assert.deepEqual(read("G\x3f\xf0\x00\x00\x00\x00\x00\x00."), float(1));
  assert.equal(read(`\x80\x04\x95\x04\x00\x00\x00\x00\x00\x00\x00${short("hé".replace("é", "\xc3\xa9"))}.`), "hé");
  assert.deepEqual(read("C\x02\x00\xff."), { kind: "bytes", data: Uint8Array.of(0, 255) });
});

test("reads containers, marks and the memo", () => {
  assert.deepEqual(read("(lp0\nI1\naI2\na."), list([1, 2]));
  assert.deepEqual(read("]q\x00(K\x01K\x02e."), list([1, 2]));
  assert.deepEqual(read("(K\x01K\x02t."), tuple([1, 2]));
  assert.deepEqual(read("K\x01K\x02K\x03\x87."), tuple([1, 2, 3]));
  assert.deepEqual(read("}(X\x01\x00\x00\x00aK\x01X\x01\x00\x00\x00aK\x02u."), {
    kind: "dict",
    entries: [
      ["a", 1],
      ["a", 2],
    ],
  });
  assert.equal(
    lookUp(read("}(X\x01\x00\x00\x00aK\x01X\x01\x00\x00\x00aK\x02u."), "a"),
    2,
    "the last of equal keys counts",
  );
  assert.deepEqual(read("\x8f(K\x01K\x02\x90."), { kind: "set", items: [1, 2] });
  assert.deepEqual(read(`${short("a")}\x94h\x00\x86.`), tuple(["a", "a"]));
  assert.deepEqual(read("K\x01K\x020."), 1);
  assert.deepEqual(read("K\x01(K\x02K\x031."), 1);
});

test("reads the classes that checkpoints are made of as inert records", () => {
  const namespace = read("cargparse\nNamespace\n)\x81}X\x01\x00\x00\x00nK\x05sb.");
  assert.equal(toNumber(lookUp(namespace, "n")), 5);
  const ordered = read("ccollections\nOrderedDict\n)R(X\x01\x00\x00\x00aK\x01u.");
  assert.equal(lookUp(ordered, "a"), 1);
  const old = read("ccollections\nOrderedDict\n((lp0\n(lp1\nS'k'\naI3\naatRp2\n.");
  assert.equal(lookUp(old, "k"), 3, "protocol 0 gives pairs to the constructor");
});

/** Pickles that would run code, or exhaust memory or stack, in a reader that does what it is told. */
const ATTACKS: Readonly<Record<string, readonly [pickle: string, expected: RegExp]>> = {
  "os.system": ["cos\nsystem\n(S'echo hacked'\ntR.", /"os\.system".*nothing was run/],
  "posix.system, protocol 2": ["\x80\x02cposix\nsystem\nX\x02\x00\x00\x00id\x85R.", /"posix\.system"/],
  "builtins.eval": ["c__builtin__\neval\n(S'1'\ntR.", /"__builtin__\.eval"/],
  "builtins.exec by STACK_GLOBAL": [
    `\x80\x04${short("builtins")}${short("exec")}\x93${short("1")}\x85R.`,
    /"builtins\.exec"/,
  ],
  "builtins.getattr": ["cbuiltins\ngetattr\n(cbuiltins\n__import__\nS'x'\ntR.", /"builtins\.getattr"/],
  "subprocess.Popen by INST": ["(S'id'\nisubprocess\nPopen\n.", /"subprocess\.Popen"/],
  "os.system by OBJ": ["(cos\nsystem\nS'id'\no.", /"os\.system"/],
  "dotted name of an allowed module": [
    `\x80\x04${short("collections")}${short("OrderedDict.__init__")}\x93.`,
    /refused/,
  ],
  "name of an allowed class in another module": ["cevil\nOrderedDict\n.", /"evil\.OrderedDict"/],
  "torch loader in a checkpoint": ["ctorch\nload\n(S'x'\ntR.", /"torch\.load"/],
  "torch.hub": ["ctorch.hub\nload\n.", /"torch\.hub\.load"/],
  "operator.attrgetter": ["coperator\nattrgetter\n.", /"operator\.attrgetter"/],
  "numpy's pickled objects": ["cnumpy.core.multiarray\n_reconstruct\n.", /_reconstruct/],
  "calls a storage class": ["ctorch\nFloatStorage\n(K\x01tR.", /calls torch\.FloatStorage/],
  "calls a string": ["S'os.system'\n(S'id'\ntR.", /calls a value that is no class/],
  "calls the result of a call": ["ccollections\nOrderedDict\n)R)R.", /calls a value that is no class/],
  "BUILD on a dict": ["}}S'__class__'\nK\x01sb.", /sets the state of a value that has none/],
  "BUILD on a class": ["cargparse\nNamespace\n}b.", /sets the state of a value that has none/],
  "BUILD twice": ["cargparse\nNamespace\n)\x81}b}b.", /set twice/],
  "items of a Namespace": ["cargparse\nNamespace\n)\x81S'a'\nK\x01s.", /sets the items/],
  "extension codes": ["\x82\x01.", /extension codes/],
  "out-of-band buffers": ["\x97.", /buffers outside/],
  "keyword arguments": [`ccollections\nOrderedDict\n)}S'k'\nK\x01s\x92.`, /named arguments/],
  "protocol of the future": ["\x80\x09N.", /protocol 5 or lower, got 9/],
  "huge string": ["X\xff\xff\xff\xffab.", /truncated or damaged/],
  "huge string of 8 bytes": ["\x8d\xff\xff\xff\xff\xff\xff\xff\xff.", /length/],
  "huge integer": ["\x8b\xff\xff\xff\x7f1.", /integer of 2147483647 bytes/],
  "huge decimal": [`I${"9".repeat(1000)}\n.`, /expected an integer/],
  "code in place of a number": ["I__import__('os')\n.", /expected an integer/],
  "line without an end": [`S'${"a".repeat(100_000)}`, /line of more than/],
  "unknown operation": ["\xff.", /0xff at byte 0/],
  empty: ["", /truncated/],
  "a character beyond Unicode": ["V\\Uffffffff\n.", /no character has the number/],
  "no value": [".", /takes more values/],
  "stop inside a mark": ["(.", /takes more values/],
  "pop of nothing": ["0.", /mark/],
  "mark that is not there": ["t.", /mark/],
  "memo that is not there": ["h\x07.", /remembered as 7/],
  "tuple for a list": [")K\x01a.", /no list/],
  "odd items": ["}(K\x01u.", /key without a value/],
  "values left": ["NN.", /leaves values/],
};

for (const [name, [pickle, expected]] of Object.entries(ATTACKS)) {
  test(`refuses: ${name}`, () => {
    assert.throws(
      () => read(pickle),
      (error: Error) => {
        assert.ok(error instanceof CheckpointError, `${error.name}: ${error.message}`);
        assert.match(error.message, expected);
        assert.match(error.message, /^x\.pt: /);
        return true;
      },
    );
  });
}

test("refuses what unfolds to more than it is, and nesting without end", () => {
  // Twenty-five levels of pairs of the level before: 2^25 values from 100 bytes.
  const bomb = `]${"2\x86".repeat(25)}.`;
  assert.throws(() => read(bomb), /unfolds to more than/);
  assert.throws(() => read(`${"]".repeat(100_000)}${"a".repeat(99_999)}.`), /nested more than/);
  assert.throws(() => read("]q\x00h\x00a."), /contain themselves/);
  assert.throws(() => read(`N${"\x85".repeat(1_000_000)}.`), /nested more than/);
});

test("whatever the bytes are, it ends with a value or a CheckpointError", () => {
  const operations = "()]}tlade2016NIJKMLGSUVX\x80\x81\x85\x86\x87\x88\x89\x8a\x8c\x8f\x90\x93\x94cRbQqhps.";
  const noise = fc.array(fc.oneof(fc.nat(255), fc.constantFrom(...bytesOf(operations))), { maxLength: 60 });
  fc.assert(
    fc.property(noise, (bytes) => {
      try {
        read(Uint8Array.from(bytes));
      } catch (error) {
        if (!(error instanceof CheckpointError)) throw error;
      }
    }),
    { numRuns: 3000 },
  );
});

test("what is written is read back", () => {
  const leaf = fc.oneof(
    fc.constant(null),
    fc.boolean(),
    fc.integer(),
    fc.bigInt({ min: 2n ** 53n, max: 2n ** 90n }),
    fc.bigInt({ min: -(2n ** 90n), max: -(2n ** 53n) }),
    fc.string({ unit: "grapheme" }),
    fc.double().map(float),
  );
  const { value } = fc.letrec<{ value: PythonValue }>((tie) => ({
    value: fc.oneof(
      { maxDepth: 4 },
      leaf,
      fc.array(tie("value"), { maxLength: 5 }).map(list),
      fc.array(tie("value"), { maxLength: 5 }).map(tuple),
      fc.dictionary(fc.string(), tie("value"), { maxKeys: 5, noNullPrototype: true }).map(dict),
    ),
  }));
  fc.assert(
    fc.property(value, (given) => {
      const bytes = writePickle(given, () => "0");
      assert.deepEqual(read(bytes), given);
    }),
    { numRuns: 300 },
  );
});

test("long containers are written in batches and read back whole", () => {
  const numbers = list(Array.from({ length: 2500 }, (_, i) => i));
  assert.deepEqual(read(writePickle(numbers, () => "")), numbers);
});
