// Cuts chunks of bytes into lines of text; every line is a string of its own, so that keeping one keeps no chunk alive.
import { DatasetError } from "../../errors.js";

const LINE_FEED = 10;
const CARRIAGE_RETURN = 13;

/** No line of a molecule file is longer; what is must be something else. */
const MAX_LINE_BYTES = 64 << 20;

export class LineSplitter {
  private pieces: Buffer[] = [];
  private pending = 0;
  private newline = 0;
  /** Lines seen so far. */
  lines = 0;

  constructor(
    private readonly file: string,
    private readonly onLine: (line: string, number: number) => void,
  ) {}

  push(chunk: Buffer): void {
    let bytes = chunk;
    if (this.newline === 0) {
      if (bytes[0] === 0xef && bytes[1] === 0xbb && bytes[2] === 0xbf) bytes = bytes.subarray(3); // byte order mark
      this.newline = bytes.includes(LINE_FEED) || !bytes.includes(CARRIAGE_RETURN) ? LINE_FEED : CARRIAGE_RETURN;
    }
    let start = 0;
    for (let end = bytes.indexOf(this.newline); end >= 0; end = bytes.indexOf(this.newline, start)) {
      if (this.pending > 0) {
        this.pieces.push(bytes.subarray(start, end));
        const whole = Buffer.concat(this.pieces);
        this.emit(whole, 0, whole.length);
        this.pieces = [];
        this.pending = 0;
      } else {
        this.emit(bytes, start, end);
      }
      start = end + 1;
    }
    if (start === bytes.length) return;
    this.pieces.push(Buffer.from(bytes.subarray(start)));
    this.pending += bytes.length - start;
    if (this.pending > MAX_LINE_BYTES) {
      throw new DatasetError(
        `${this.file}:${this.lines + 1}: a line of more than ${MAX_LINE_BYTES >> 20} MB; is it a text file?`,
      );
    }
  }

  /** The last line, where the file does not end with a line end. */
  end(): void {
    if (this.pending === 0) return;
    const whole = Buffer.concat(this.pieces);
    this.pieces = [];
    this.pending = 0;
    this.emit(whole, 0, whole.length);
  }

  private emit(bytes: Buffer, start: number, end: number): void {
    const stop = end > start && bytes[end - 1] === CARRIAGE_RETURN ? end - 1 : end;
    this.onLine(bytes.toString("utf8", start, stop), ++this.lines);
  }
}
