// Runs a job for each element of a stream, several at a time, and gives the results back in the order of the stream.

/**
 * At most `inFlight` jobs run or wait to be taken, so memory stays flat however fast the stream is. The first error
 * of the stream or of a job ends the iteration, after the jobs under way have settled.
 */
export async function* mapOrdered<Input, Output>(
  inputs: AsyncIterable<Input>,
  job: (input: Input) => Promise<Output>,
  inFlight: number,
): AsyncGenerator<Output> {
  const running: Promise<Output>[] = [];
  try {
    for await (const input of inputs) {
      const started = job(input);
      // Its turn to be awaited comes later; until then a failure must not count as unhandled.
      started.catch(() => undefined);
      running.push(started);
      if (running.length >= inFlight) yield await (running.shift() as Promise<Output>);
    }
    while (running.length > 0) yield await (running.shift() as Promise<Output>);
  } finally {
    await Promise.allSettled(running);
  }
}
