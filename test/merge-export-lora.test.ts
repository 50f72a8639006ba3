/** The law of the sum against llama-export-lora (CPU, rank 8): the same bytes, tensor by tensor. */
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { cpSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { execute, planGguf } from '../src/index.js'
import { GOLDEN, SKIP_WITHOUT_GOLDEN } from './support/paths.js'
import { readSafetensors, writeSafetensors, type PlainTensor } from './support/plain-tensors.js'
import { encoded, F16, packed, unpacked, valueOfHalf } from './support/straight-math.js'
import { workspace } from './support/workspace.js'

/** Name, type, dimensions, offset, bytes, sha256. */
type ExportedTensor = readonly [string, string, readonly number[], number, number, string]

interface Expected {
  readonly baseDir: string
  readonly exportLora: Readonly<Record<string, { readonly tensors?: readonly ExportedTensor[] }>>
}

/** A stored type of the base GGUF, as values that a safetensors base can hold without loss. */
const STORED: Readonly<Record<string, (tensor: PlainTensor) => PlainTensor>> = {
  f32: (tensor) => retyped(tensor, 'F32'),
  f16: (tensor) => retyped(tensor, 'F16'),
  bf16: (tensor) => retyped(tensor, 'BF16'),
  q8_0: (tensor) => ({ ...tensor, dtype: 'F32', bytes: packed('F32', throughQ8_0(tensor)) }),
}

function retyped(tensor: PlainTensor, dtype: string): PlainTensor {
  return { ...tensor, dtype, bytes: packed(dtype, unpacked(tensor.dtype, tensor.bytes)) }
}

function throughQ8_0(tensor: PlainTensor): Float32Array {
  const blocks = encoded('q8_0', Float32Array.from(unpacked(tensor.dtype, tensor.bytes)))
  const view = new DataView(blocks.buffer, blocks.byteOffset)
  return Float32Array.from({ length: (blocks.byteLength / 34) * 32 }, (_, i) => {
    const block = Math.floor(i / 32) * 34
    return valueOfHalf(F16, view.getUint16(block, true)) * view.getInt8(block + 2 + (i % 32))
  })
}

describe('merging into a GGUF', { skip: SKIP_WITHOUT_GOLDEN }, () => {
  if (GOLDEN === undefined) return
  const root = join(GOLDEN, 'gguf', 'lora-llama')
  const { baseDir, exportLora } = JSON.parse(readFileSync(join(root, 'expected.json'), 'utf8')) as Expected

  for (const [base, adapter, outtype] of [
    ['f32', 'f32', 'f32'],
    ['f16', 'f32', 'f16'],
    ['bf16', 'f32', 'f16'],
    ['q8_0', 'f32', 'f16'],
    ['f16', 'f16', 'f16'],
  ] as const) {
    it(`gives llama-export-lora’s bytes for a base of ${base} and an adapter of ${adapter}`, async (t) => {
      const expected = exportLora[`base-${base}+lora-${adapter}`]?.tensors
      assert.ok(expected)
      const rows = new Map(expected.map((row): [string, ExportedTensor] => [row[0], row]))
      const folder = workspace(t, 'export')
      const [model, lora] = [join(folder, 'model'), join(folder, 'adapter')]
      cpSync(join(root, baseDir), model, { recursive: true })
      cpSync(join(root, 'adapter-r8'), lora, { recursive: true })
      const store = STORED[base] ?? assert.fail()
      writeSafetensors(
        join(model, 'model.safetensors'),
        Object.fromEntries([...readSafetensors(model)].map(([name, tensor]) => [name, tensor.shape.length === 2 ? store(tensor) : tensor])),
      )
      writeSafetensors(
        join(lora, 'adapter_model.safetensors'),
        Object.fromEntries([...readSafetensors(lora)].map(([name, tensor]) => [name, retyped(tensor, adapter.toUpperCase())])),
      )
      const plan = await planGguf({ model, adapters: [{ path: lora }], outtype, outfile: join(folder, 'out.gguf'), noVocab: true })
      await execute(plan)
      const file = readFileSync(join(folder, 'out.gguf'))
      const touched = plan.tensors.filter(({ applied }) => applied.length > 0)
      assert.ok(touched.length >= 4)
      for (const { name, type, offset, byteLength } of touched) {
        const wanted = rows.get(name) ?? assert.fail(name)
        assert.equal(type.toUpperCase(), wanted[1])
        const sha256: string = createHash('sha256')
          .update(file.subarray(offset, offset + byteLength))
          .digest('hex')
        assert.equal(sha256, wanted[5], name)
      }
    })
  }
})
