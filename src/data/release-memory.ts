// Gives memory back at once instead of when the collector comes.

const { port1: nobody } = new MessageChannel();
nobody.close();

/**
 * Frees buffers and leaves them empty. A closed port takes what is sent and has nobody to hand it to. Worth it for
 * megabytes in a thread that makes little garbage of its own: there the collector waits until about 64 MB have gathered.
 */
export function releaseMemory(buffers: ArrayBuffer[]): void {
  nobody.postMessage(null, buffers);
}

type Tensors = Readonly<Record<string, { readonly data: ArrayBufferView }>>;

/** The memory of tensors, each piece once. */
export function memoryOf(tensors: Tensors): ArrayBuffer[] {
  return [...new Set(Object.values(tensors).map(({ data }) => data.buffer as ArrayBuffer))];
}

/** Frees tensors that own their memory and leaves them empty. */
export function releaseTensors(tensors: Tensors): void {
  releaseMemory(memoryOf(tensors));
}
