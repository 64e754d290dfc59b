// The numbers and strings of a pickle, in the spellings of its protocols.
import type { ByteReader } from "./byte-reader.js";
import { float, type PythonValue } from "./python-values.js";

const MAX_INTEGER_BYTES = 64;

/** Little-endian two's complement. */
function decodeInteger(bytes: Uint8Array): number | bigint {
  let value = 0n;
  for (let i = bytes.length - 1; i >= 0; i--) value = (value << 8n) | BigInt(bytes[i]);
  return narrow(BigInt.asIntN(8 * bytes.length, value));
}

function narrow(value: bigint): number | bigint {
  return value >= Number.MIN_SAFE_INTEGER && value <= Number.MAX_SAFE_INTEGER ? Number(value) : value;
}

export function longInteger(reader: ByteReader, bytes: number): number | bigint {
  if (bytes > MAX_INTEGER_BYTES) reader.fail(`an integer of ${bytes} bytes; refused`);
  return decodeInteger(reader.bytes(bytes));
}

export function decimalInteger(reader: ByteReader, text: string): number | bigint {
  if (!/^[-+]?\d{1,150}$/.test(text))
    reader.fail(`damaged: expected an integer, got ${JSON.stringify(text.slice(0, 40))}`);
  return narrow(BigInt(text.replace("+", "")));
}

export function decimalFloat(reader: ByteReader, text: string): PythonValue {
  const special = { inf: Infinity, "-inf": -Infinity, nan: Number.NaN }[text];
  const value = special ?? Number(text);
  if (special === undefined && (text.trim() === "" || Number.isNaN(value))) {
    reader.fail(`damaged: expected a float, got ${JSON.stringify(text.slice(0, 40))}`);
  }
  return float(value);
}

/** Python 2 `str`: bytes that are text in nearly every file. */
export function latin1(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => String.fromCharCode(byte)).join("");
}

/** `'…'` of protocol 0, without escapes that could mean anything but themselves. */
export function quoted(reader: ByteReader, text: string): string {
  const [, , body] = /^(['"])((?:[^\\]|\\[\\'"])*)\1$/.exec(text) ?? [];
  return body === undefined
    ? reader.fail("damaged: a string of protocol 0 that is not quoted as Python does")
    : body.replace(/\\(.)/g, "$1");
}

export function unicodeLine(reader: ByteReader, text: string): string {
  return text.replace(/\\u([0-9a-fA-F]{4})|\\U([0-9a-fA-F]{8})/g, (_, short: string, long: string) => {
    const point = Number.parseInt(short ?? long, 16);
    return point > 0x10ffff
      ? reader.fail(`damaged: no character has the number ${point}`)
      : String.fromCodePoint(point);
  });
}
