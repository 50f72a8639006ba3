/** The `safetensors` package of npm as a second reader. It fails on `__metadata__`, and on views that do not begin at their buffer's start. */
import { createRequire } from 'node:module'

interface Peer {
  readonly SafeTensor: new (file: Uint8Array) => {
    readonly metadata: ReadonlyMap<string, { readonly dtype: string; readonly shape: readonly number[] }>
    getTensor(name: string): Uint8Array
  }
}

/** Every tensor of a file, with its bytes. */
export function readWithNpmSafetensors(file: Uint8Array): Map<string, { dtype: string; shape: readonly number[]; bytes: Uint8Array }> {
  const { SafeTensor } = createRequire(import.meta.url)('safetensors') as Peer
  const peer = new SafeTensor(new Uint8Array(file))
  return new Map([...peer.metadata].map(([name, { dtype, shape }]) => [name, { dtype, shape, bytes: new Uint8Array(peer.getTensor(name)) }]))
}
