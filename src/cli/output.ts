// What commands print: results on stdout, everything else on stderr.

/** One JSON document on stdout. */
export function printJson(value: unknown): void {
  process.stdout.write(`${JSON.stringify(value, null, 2)}\n`);
}

export function printLines(lines: readonly string[]): void {
  process.stdout.write(`${lines.join("\n")}\n`);
}

export function printRemark(text: string): void {
  process.stderr.write(`${text}\n`);
}

/** Rows in columns of equal width; columns that hold nothing but numbers are set to the right. */
export function alignColumns(rows: readonly (readonly (string | number)[])[], headerRows = 0): string[] {
  const texts = rows.map((row) => row.map(String));
  const columns = texts.reduce((most, row) => Math.max(most, row.length), 0);
  const styles = Array.from({ length: columns }, (_, column) => {
    const cells = texts.map((row) => row[column] ?? "");
    const body = cells.slice(headerRows);
    return {
      width: Math.max(...cells.map((cell) => cell.length)),
      right: body.length > 0 && body.every((cell) => /^-?[\d,.]+%?$/.test(cell)),
    };
  });
  return texts.map((row) =>
    row
      .map((cell, column) =>
        styles[column].right ? cell.padStart(styles[column].width) : cell.padEnd(styles[column].width),
      )
      .join("  ")
      .trimEnd(),
  );
}

/** 1234567 → "1,234,567" */
export function thousands(count: number): string {
  return count.toLocaleString("en-US");
}

/** A word of a command line as a POSIX shell reads it. */
export function shellWord(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}

/** The command line of this process as a shell would take it, for reports. */
export function commandLine(): string {
  return ["moleblend", ...process.argv.slice(2)].map(shellWord).join(" ");
}
