// Plain data and tensors → the zip file that torch.load reads.
import { writePickle } from "./pickle-writer.js";
import { type PythonTensor, type PythonValue, TORCH_TYPES } from "./python-values.js";
import { encodeZip, type ZipContent } from "./zip-writer.js";

/** `kProducedFileFormatVersion` of torch. */
const VERSION = "3\n";

/** The file as parts to be written one after the other; tensors are read one at a time. */
export function encodeTorchFile(value: PythonValue, folder = "archive"): Generator<Uint8Array> {
  const tensors: PythonTensor[] = [];
  const pickle = writePickle(value, (tensor) => String(tensors.push(tensor) - 1));
  const text = (name: string, content: string): ZipContent => ({
    name: `${folder}/${name}`,
    read: () => new TextEncoder().encode(content),
  });
  const data = tensors.map(({ type, shape, read }, key) => ({
    name: `${folder}/data/${key}`,
    read: () => {
      const bytes = read();
      const expected = TORCH_TYPES[type].bytes * shape.reduce((size, dim) => size * dim, 1);
      if (bytes.length !== expected) {
        throw new RangeError(`tensor ${key}: ${bytes.length} bytes for ${type} [${shape}], expected ${expected}`);
      }
      return bytes;
    },
  }));
  return encodeZip([
    { name: `${folder}/data.pkl`, read: () => pickle },
    text("byteorder", "little"),
    ...data,
    text("version", VERSION),
  ]);
}
