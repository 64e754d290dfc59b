// Reads pickles and files of torch.save that come with data sets, as plain values.
import { DatasetError } from "../../errors.js";
import { bytesSource } from "../random-access.js";
import { ByteReader } from "./byte-reader.js";
import { failing } from "./failure.js";
import { PLAIN_CLASSES, type PlainValue, plainValue } from "./plain-values.js";
import { openTorchFile } from "./torch-file.js";
import { unpickle } from "./unpickle.js";

/**
 * @param name for messages
 * @throws DatasetError for damage and anything but plain data; nothing in it is run
 */
export function readPlainPickle(bytes: Uint8Array, name = "pickle"): PlainValue {
  const reader = new ByteReader(bytesSource(bytes, name), 0, bytes.length, DatasetError);
  const outside = () => reader.fail("it refers to data outside of itself");
  const value = unpickle(reader, { classes: PLAIN_CLASSES, persistent: outside, readStorage: outside });
  return plainValue(value, reader.fail);
}

/**
 * @param name for messages
 * @throws DatasetError for what is no file of `torch.save`, damage, and anything but plain data, numpy arrays and tensors
 */
export function readPlainTorchFile(bytes: Uint8Array, name: string): PlainValue {
  const file = openTorchFile(bytesSource(bytes, name), { classes: PLAIN_CLASSES, Failure: DatasetError });
  return plainValue(file.value, failing(DatasetError, name));
}
