// Pickles and files of torch.save as plain values: what numpy and Python write in every protocol, and what is thrown at it.
import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import fc from "fast-check";
import { DatasetError } from "../../errors.js";
import { isNumberArray, type PlainValue } from "./plain-values.js";
import { dict, type PythonTensor, type PythonValue, tuple } from "./python-values.js";
import { readPlainPickle, readPlainTorchFile } from "./read-plain.js";
import { encodeTorchFile } from "./torch-writer.js";

function fixture(name: string): Uint8Array {
  let root = dirname(fileURLToPath(import.meta.url));
  while (!existsSync(join(root, "package.json"))) root = dirname(root);
  return readFileSync(join(root, "test/fixtures/formats", name));
}

/** Characters up to U+00FF are bytes. */
function bytesOf(text: string): Uint8Array {
  return Uint8Array.from(text, (character) => character.charCodeAt(0));
}

/** Bytes that damage does most with: nothing, and the operations that end, call, build and fill. */
const OPERATIONS = [0, 0x2e, 0x52, 0x62, 0x75, 0xff];

/** Arrays as [shape, numbers]. */
function shown(value: PlainValue | undefined): unknown {
  return isNumberArray(value) ? [value.shape, Array.from(value.values)] : value;
}

for (const protocol of [0, 1, 2, 3, 4, 5]) {
  test(`protocol ${protocol}: numpy's arrays and numbers, containers, bytes`, () => {
    const value = readPlainPickle(fixture(`plain-${protocol}.pkl`));
    assert.ok(value instanceof Map);
    const expected: Readonly<Record<string, unknown>> = {
      rows: [
        [2, 3],
        [0, 1, 2, 3, 4, 5],
      ],
      columns: [
        [2, 3],
        [0, 1, 2, 3, 4, 5],
      ],
      "big endian": [[2], [1.5, -2.5]],
      half: [[3], [0.5, 65504, Number.POSITIVE_INFINITY]],
      long: [[2], [2n ** 40n, -1n]],
      bool: [[2], [1, 0]],
      names: ["C", "N"],
      empty: [[0, 3], []],
      scalar: 2.5,
      count: 7,
      bytes: [Uint8Array.of(0, 255), new Uint8Array(0), Uint8Array.of(97, 98), new Uint8Array(0)],
      set: new Set([1]),
      frozen: new Set([2]),
      huge: 2n ** 70n,
      pair: [1, null, true, "é"],
      ordered: new Map([["a", 1]]),
    };
    assert.deepEqual([...value.keys()], Object.keys(expected));
    for (const [key, item] of value) assert.deepEqual(shown(item), expected[key as string], String(key));
  });

  test(`protocol ${protocol}: damage is an error, never a crash`, () => {
    const whole = fixture(`plain-${protocol}.pkl`);
    const ends = (bytes: Uint8Array, must: boolean) => {
      try {
        readPlainPickle(bytes);
      } catch (error) {
        assert.ok(error instanceof DatasetError, `${(error as Error).stack}`);
        return;
      }
      assert.ok(!must, "damage that must be noticed was not");
    };
    for (let at = 0; at < whole.length; at++) {
      ends(whole.subarray(0, at), true);
      // All of them on the shortest file, one at each place on the others.
      for (const byte of protocol === 5 ? OPERATIONS : [OPERATIONS[at % OPERATIONS.length]]) {
        const bad = Uint8Array.from(whole);
        bad[at] = byte;
        ends(bad, false);
      }
    }
  });
}

test("what occurs again is one object", () => {
  const value = readPlainPickle(bytesOf("]q\x00(]q\x01h\x01e."));
  assert.ok(Array.isArray(value) && value[0] === value[1]);
});

/** A numpy array in protocol 2: its dtype, shape, order and bytes. */
function array(dtype: string, shape: string, content: string): string {
  const made = "cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\nK\x00\x85U\x01btR";
  return `${made}(K\x01${shape}cnumpy\ndtype\n(U\x02${dtype}K\x00K\x01tR(K\x03U\x01<tb\x89${content}tb`;
}

test("reads arrays of Python 2, whose bytes are text", () => {
  assert.deepEqual(shown(readPlainPickle(bytesOf(`\x80\x02${array("i2", "K\x02\x85", "U\x04\x01\x00\xff\xff")}.`))), [
    [2],
    [1, -1],
  ]);
});

const REFUSED: Readonly<Record<string, readonly [pickle: string, expected: RegExp]>> = {
  "os.system": ["cos\nsystem\n(S'true'\ntR.", /refused: it asks for the Python object "os\.system".*nothing was run/],
  "classes of checkpoints": ["cargparse\nNamespace\n)\x81.", /"argparse\.Namespace"/],
  "a class alone": ["cnumpy\nndarray\n.", /expected plain data, got numpy\.ndarray/],
  "numpy.ndarray called": ["cnumpy\nndarray\n)R.", /expected plain data, got an object of numpy\.ndarray/],
  "a dtype alone": ["cnumpy\ndtype\n)R.", /got an object of numpy\.dtype/],
  "data outside of itself": ["S'x'\nQ.", /refers to data outside/],
  "an array without content": ["cnumpy.core.multiarray\n_reconstruct\n)R.", /without its content/],
  "too few bytes": [`${array("f4", "K\x02\x85", "U\x04abcd")}.`, /expected 8 bytes for an array of shape \[2\], got 4/],
  "a negative shape": [`${array("f4", "J\xff\xff\xff\xff\x85", "U\x00")}.`, /valid shape/],
  "a huge shape": [`${array("f4", "J\xff\xff\xff\x7f\x85", "U\x00")}.`, /expected 8589934588 bytes/],
  "an array of texts": [
    `${array("U1", "K\x01\x85", "U\x04abcd")}.`,
    /expected an array of numbers, got numpy's dtype "U1"/,
  ],
  "bytes that are none": ["c_codecs\nencode\n(V\\u0100\nS'latin1'\ntR.", /a byte of the value 256/],
  "bytes in another encoding": ["c_codecs\nencode\n(Vx\nS'rot13'\ntR.", /_codecs\.encode of something else than bytes/],
  "a list that holds itself": ["]q\x00h\x00a.", /contain themselves/],
};

for (const [name, [pickle, expected]] of Object.entries(REFUSED)) {
  test(`refuses: ${name}`, () => {
    assert.throws(
      () => readPlainPickle(bytesOf(pickle), "x"),
      (error: Error) => {
        assert.ok(error instanceof DatasetError, `${error.name}: ${error.message}`);
        assert.match(error.message, expected);
        assert.match(error.message, /^x: /);
        return true;
      },
    );
  });
}

test("refuses arrays that share their bytes to ask for more than memory has", () => {
  // 300 arrays of half a megabyte each over one text: 8 bytes a number, more than 1 GiB.
  const size = 1 << 19;
  const text = `T${String.fromCharCode(0, 0, 8, 0)}${"\x00".repeat(size)}q\x00`;
  const shared = array("i1", "J\x00\x00\x08\x00\x85", "h\x00");
  assert.throws(() => readPlainPickle(bytesOf(`${text}0](${shared.repeat(300)}e.`)), /arrays of more than .* refused/);
});

test("whatever the bytes are, it ends with a value or a DatasetError", () => {
  const pieces = [
    "cnumpy\ndtype\n",
    "cnumpy._core.numeric\n_frombuffer\n",
    "cnumpy.core.multiarray\nscalar\n",
    "U\x02f4",
  ];
  const noise = fc.array(
    fc.oneof(
      fc.constantFrom(...pieces, ..."()]}tlae20NKMU\x85\x86\x87Rbqh.su"),
      fc.nat(255).map((byte) => String.fromCharCode(byte)),
    ),
    { maxLength: 40 },
  );
  fc.assert(
    fc.property(noise, (parts) => {
      try {
        readPlainPickle(bytesOf(`${parts.join("")}.`));
      } catch (error) {
        if (!(error instanceof DatasetError)) throw error;
      }
    }),
    { numRuns: 3000 },
  );
});

function torchFile(value: PythonValue): Uint8Array {
  return Buffer.concat([...encodeTorchFile(value)]);
}

function tensor(type: PythonTensor["type"], shape: readonly number[], data: ArrayBufferView): PythonTensor {
  const read = () => new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
  return { kind: "tensor", type, shape, requiresGradient: false, read };
}

test("files of torch.save: numpy arrays, tensors", () => {
  const split = readPlainTorchFile(fixture("split_dict.pt"), "split_dict.pt");
  assert.ok(split instanceof Map);
  assert.deepEqual(
    [...split].map(([part, rows]) => [part, shown(rows)]),
    [
      ["train", [[6], [0n, 1n, 2n, 3n, 4n, 5n]]],
      ["valid", [[2], [6n, 7n]]],
      ["test-dev", [[1], [8n]]],
    ],
  );
  const file = torchFile(
    dict({
      rows: tensor("int64", [2], BigInt64Array.of(3n, -4n)),
      x: tuple([tensor("float32", [1, 2], Float32Array.of(1, 2))]),
    }),
  );
  const read = readPlainTorchFile(file, "x.pt");
  assert.ok(read instanceof Map && Array.isArray(read.get("x")));
  assert.deepEqual(shown(read.get("rows")), [[2], [3n, -4n]]);
  assert.deepEqual(shown((read.get("x") as PlainValue[])[0]), [
    [1, 2],
    [1, 2],
  ]);
});

test("files of torch.save: what cannot be read is named", () => {
  const refuses = (bytes: Uint8Array, message: RegExp) =>
    assert.throws(() => readPlainTorchFile(bytes, "x.pt"), { name: "DatasetError", message });
  refuses(
    torchFile(dict({ x: tensor("bfloat16", [1], Uint16Array.of(1)) })),
    /^x\.pt: expected a tensor of numbers that numpy has/,
  );
  const whole = fixture("split_dict.pt");
  for (let length = 0; length < whole.length; length += 7) refuses(whole.subarray(0, length), /^x\.pt: /);
  refuses(bytesOf("\x80\x02N."), /not one of torch\.save/);
});
