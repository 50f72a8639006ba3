/** A GGUF file with the bytes of its tensors, for tests that compare files part by part. */
import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { memorySource } from '../../src/core/bytes.js'
import type { KeyValue } from '../../src/core/key-value.js'
import type { QuantType } from '../../src/core/quant-types.js'
import { readGgufHeader } from '../../src/formats/gguf/header.js'

export interface GgufFileTensor {
  readonly name: string
  readonly type: QuantType
  /** Outermost dimension first. */
  readonly shape: readonly number[]
  /** From the start of the file. */
  readonly offset: number
  readonly bytes: Buffer
}

export interface GgufFile {
  readonly keyValues: readonly KeyValue[]
  readonly alignment: number
  readonly tensors: readonly GgufFileTensor[]
  readonly tensor: (name: string) => GgufFileTensor
}

export async function readGguf(path: string): Promise<GgufFile> {
  const file = readFileSync(path)
  const { keyValues, alignment, tensors } = await readGgufHeader(memorySource(path, file))
  const read = tensors.map(({ name, type, shape, offset, byteLength }) => ({ name, type, shape, offset, bytes: file.subarray(offset, offset + byteLength) }))
  const byName = new Map(read.map((tensor) => [tensor.name, tensor]))
  return {
    keyValues,
    alignment,
    tensors: read,
    tensor: (name) => {
      const found = byName.get(name)
      if (found === undefined) throw new Error(`${path} has no tensor ${name}`)
      return found
    },
  }
}

export function sha256(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex')
}
