/** Tensor lists, types and metadata of the Llama family against what the reference converter wrote. */
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { closeSync, openSync, readFileSync, readSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { architectureKeyValues, planTensors, readHparams, tensorTypeRule, type ConvertedTensor, type Hparams } from '../src/architectures/convert.js'
import type { Architecture } from '../src/architectures/define.js'
import { findArchitecture } from '../src/architectures/registry.js'
import { isDtype } from '../src/core/dtypes.js'
import { parseJsonObject } from '../src/core/json.js'
import type { KeyValue } from '../src/core/key-value.js'
import { permutedRow } from '../src/core/row-order.js'
import { tensorsOf } from '../src/core/row-program.js'
import { rowShape } from '../src/core/shape.js'
import type { TensorInfo } from '../src/core/tensor-info.js'
import { GOLDEN, SKIP_WITHOUT_GOLDEN } from './support/paths.js'

const CASES = [
  'gguf/llama',
  'gguf/llama-sharded',
  'gguf/llama-odd',
  'gguf/llama-f32-edge',
  'gguf/llama3-rope',
  'gguf/mistral',
  'gguf-large/real-llama3',
  'gguf-large/real-llama2-hf',
]

type GoldenTensor = [name: string, type: string, shapeReversed: number[], offset: number, bytes: number, sha256: string]
interface GoldenKeyValue {
  key: string
  type: string
  value: unknown
}
interface Expected {
  inputDir: string
  kv: GoldenKeyValue[]
  convert: Record<string, { tensors: GoldenTensor[]; kvDiff?: GoldenKeyValue[] }>
}

describe('Llama family against the reference converter', { skip: SKIP_WITHOUT_GOLDEN }, () => {
  for (const name of CASES) {
    describe(name, () => {
      const { expected, architecture, hparams, tensors } = load(name)

      it('gives the same tensors in the same order, with the same shapes', () => {
        for (const { tensors: golden } of Object.values(expected.convert)) {
          assert.deepEqual(
            tensors.map((tensor) => [tensor.name, tensor.shape.toReversed()]),
            golden.map(([tensorName, , shape]) => [tensorName, shape]),
          )
        }
      })

      it('keeps the same tensors at f32 in every output type', () => {
        for (const [outtype, { tensors: golden }] of Object.entries(expected.convert)) {
          const f32 = golden.filter(([, type]) => type === 'F32').map(([tensorName]) => tensorName)
          const ours = tensors.filter((tensor) => outtype === 'f32' || tensorTypeRule(tensor) === 'alwaysF32').map((tensor) => tensor.name)
          assert.deepEqual(ours, f32, outtype)
        }
      })

      it('writes the same architecture keys, types and values in the same order', () => {
        for (const { kvDiff = [] } of Object.values(expected.convert)) {
          const golden = architectureBlock(expected.kv, architecture.gguf).map((kv) => kvDiff.find(({ key }) => key === kv.key) ?? kv)
          const fileType = Number(golden.find(({ key }) => key === 'general.file_type')?.value)
          assert.deepEqual(
            architectureKeyValues(architecture, hparams, fileType).map(flat),
            golden.map(({ key, type, value }) => ({ key, type, value })),
          )
        }
      })

      it('gives the bytes of every f32 tensor: rope factors, permuted rows, copies', () => {
        const golden = Object.values(expected.convert)[0]?.tensors ?? []
        for (const [i, [tensorName, type, , , , sha256]] of golden.entries()) {
          const tensor = tensors[i]
          if (type === 'F32' && tensor !== undefined) assert.equal(createHash('sha256').update(f32Bytes(tensor)).digest('hex'), sha256, tensorName)
        }
      })
    })
  }
})

function load(name: string): { expected: Expected; architecture: Architecture; hparams: Hparams; tensors: ConvertedTensor[] } {
  const folder = join(GOLDEN ?? '', name)
  const expected = JSON.parse(readFileSync(join(folder, 'expected.json'), 'utf8')) as Expected
  const model = join(folder, expected.inputDir)
  const config = parseJsonObject(readFileSync(join(model, 'config.json')), 'config.json')
  const architecture = findArchitecture(config, 'config.json')
  const hparams = readHparams(architecture, config, 'config.json')
  const files = readdirSync(model)
    .filter((file) => file.endsWith('.safetensors'))
    .sort()
  const sources = files
    .flatMap((file) => readTensorInfos(join(model, file)))
    .map((tensor) => ({ name: tensor.name, shape: tensor.shape, program: { op: 'read', tensor } as const }))
  return { expected, architecture, hparams, tensors: planTensors(architecture, hparams, sources) }
}

/** Just enough of a safetensors reader for files that are known to be sound. */
function readTensorInfos(path: string): TensorInfo[] {
  const bytes = readFileSync(path)
  const dataStart = 8 + Number(bytes.readBigUInt64LE(0))
  const header = Object.entries(
    JSON.parse(bytes.toString('utf8', 8, dataStart)) as Record<string, { dtype: string; shape: number[]; data_offsets: [number, number] }>,
  )
  return header
    .filter(([name]) => name !== '__metadata__')
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(
      ([
        name,
        {
          dtype,
          shape,
          data_offsets: [start, end],
        },
      ]) => {
        if (!isDtype(dtype)) throw new Error(dtype)
        const source = { kind: 'file', name: path, path, byteLength: bytes.length, modifiedMs: 0, inode: 0 } as const
        return { name, dtype, shape, source, offset: dataStart + start, byteLength: end - start }
      },
    )
}

function architectureBlock(kv: readonly GoldenKeyValue[], gguf: string): GoldenKeyValue[] {
  return kv.filter(({ key }) => key.startsWith(`${gguf}.`) || key === 'general.file_type')
}

function flat({ key, value }: KeyValue): GoldenKeyValue {
  return { key, type: value.type === 'string' ? 'str' : value.type, value: value.value }
}

/** A tensor's data as f32, straight from its program: what the engine will stream. */
function f32Bytes(tensor: ConvertedTensor): Uint8Array {
  const { program } = tensor
  if (program.op === 'values') return new Uint8Array(Float32Array.from(program.values).buffer)
  const [stored] = tensorsOf(program)
  if (stored === undefined || stored.source.kind !== 'file') throw new Error('no stored tensor')
  const { rows, cols } = rowShape(stored.shape)
  const read = widened(stored, stored.source.path)
  if (program.op === 'read') return new Uint8Array(read.buffer)
  if (program.op !== 'permuteRows') throw new Error(program.op)
  const permuted = new Float32Array(read.length)
  for (let row = 0; row < rows; row++) {
    const from = permutedRow(program.shape, program.order, row)
    permuted.set(read.subarray(from * cols, (from + 1) * cols), row * cols)
  }
  return new Uint8Array(permuted.buffer)
}

function widened(tensor: TensorInfo, path: string): Float32Array {
  const bytes = Buffer.alloc(tensor.byteLength)
  const file = openSync(path, 'r')
  readSync(file, bytes, 0, bytes.length, tensor.offset)
  closeSync(file)
  if (tensor.dtype === 'F32') return new Float32Array(bytes.buffer, bytes.byteOffset, bytes.length / 4).slice()
  const halves = new Uint16Array(bytes.buffer, bytes.byteOffset, bytes.length / 2)
  if (tensor.dtype === 'BF16') return new Float32Array(Uint32Array.from(halves, (half) => half * 65536).buffer)
  return Float32Array.from(halves, halfToNumber)
}

function halfToNumber(half: number): number {
  const [sign, exponent, fraction] = [half >> 15 ? -1 : 1, (half >> 10) & 31, half & 1023]
  if (exponent === 31) return fraction ? NaN : sign * Infinity
  return sign * (exponent === 0 ? fraction * 2 ** -24 : (1024 + fraction) * 2 ** (exponent - 25))
}
