// The few protobuf forms that an ONNX model is made of.
import { type BinaryWriter, WireType } from "@bufbuild/protobuf/wire";
import type { DataType } from "./graph.js";

/** TensorProto.DataType */
export const ELEMENT_TYPES: Readonly<Record<DataType, number>> = {
  float32: 1,
  uint8: 2,
  int32: 6,
  int64: 7,
  bool: 9,
  float64: 11,
};

export function message(writer: BinaryWriter, field: number, write: (writer: BinaryWriter) => void): void {
  writer.tag(field, WireType.LengthDelimited).fork();
  write(writer);
  writer.join();
}

export function text(writer: BinaryWriter, field: number, value: string): void {
  writer.tag(field, WireType.LengthDelimited).string(value);
}

export function integer(writer: BinaryWriter, field: number, value: number): void {
  writer.tag(field, WireType.Varint).int64(value);
}

/** StringStringEntryProto */
export function entry(writer: BinaryWriter, field: number, key: string, value: string): void {
  message(writer, field, (w) => {
    text(w, 1, key);
    text(w, 2, value);
  });
}
