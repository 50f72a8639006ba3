/** Small model folders on disk, for tests of what reads folders. */
import { mkdirSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import type { Dtype } from '../../src/core/dtypes.js'
import { encodeHeader } from '../../src/formats/safetensors/header-writer.js'

/** name -> dtype and shape, or a shape of F32 */
export type Tensors = Readonly<Record<string, readonly number[] | readonly [Dtype, readonly number[]]>>

/** A safetensors file whose data bytes count 0, 1, 2 … */
export function tensorFile(tensors: Tensors, metadata: Readonly<Record<string, string>> = {}): Uint8Array {
  const plans = Object.entries(tensors).map(([name, spec]) => {
    const [first, second] = spec
    return typeof first === 'string' && Array.isArray(second)
      ? { name, dtype: first, shape: second as number[] }
      : { name, dtype: 'F32' as const, shape: spec as number[] }
  })
  const { bytes, fileSize } = encodeHeader(plans, new Map(Object.entries(metadata)))
  const file = Uint8Array.from({ length: fileSize }, (_, i) => i - bytes.byteLength)
  file.set(bytes)
  return file
}

/** Writes files into a folder, which is made; values that are no bytes are written as JSON, text as it is. */
export function writeFolder(path: string, files: Readonly<Record<string, Uint8Array | string | object>>): string {
  for (const [name, content] of Object.entries(files)) {
    mkdirSync(dirname(join(path, name)), { recursive: true })
    writeFileSync(join(path, name), typeof content === 'string' || content instanceof Uint8Array ? content : JSON.stringify(content))
  }
  return path
}
