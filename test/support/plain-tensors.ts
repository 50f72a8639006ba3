/** Writes and reads safetensors files the straight way, in memory: what tests compare the streaming engine with. */
import { readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

export interface PlainTensor {
  readonly dtype: string
  readonly shape: readonly number[]
  readonly bytes: Uint8Array
}

/** Writes a file; tensors lie in the order given. */
export function writeSafetensors(path: string, tensors: Readonly<Record<string, PlainTensor>>, metadata: Record<string, string> = { format: 'pt' }): void {
  const header: Record<string, unknown> = { __metadata__: metadata }
  let at = 0
  for (const [name, { dtype, shape, bytes }] of Object.entries(tensors)) header[name] = { dtype, shape, data_offsets: [at, (at += bytes.byteLength)] }
  const json = Buffer.from(JSON.stringify(header))
  const length = Buffer.alloc(8)
  length.writeBigUInt64LE(BigInt(json.byteLength))
  writeFileSync(path, Buffer.concat([length, json, ...Object.values(tensors).map(({ bytes }) => bytes)]))
}

/** Every tensor of a file, or of all safetensors files of a folder. */
export function readSafetensors(path: string): Map<string, PlainTensor> {
  if (statSync(path).isDirectory()) {
    const files = readdirSync(path).filter((name) => name.endsWith('.safetensors'))
    return new Map(files.sort().flatMap((name) => [...readSafetensors(join(path, name))]))
  }
  const file = readFileSync(path)
  const headerBytes = Number(file.readBigUInt64LE())
  const header = JSON.parse(file.toString('utf8', 8, 8 + headerBytes)) as Record<string, { dtype: string; shape: number[]; data_offsets: [number, number] }>
  const tensors = new Map<string, PlainTensor>()
  for (const [name, info] of Object.entries(header)) {
    if (name === '__metadata__') continue
    const [begin, end] = info.data_offsets
    tensors.set(name, { dtype: info.dtype, shape: info.shape, bytes: new Uint8Array(file.subarray(8 + headerBytes + begin, 8 + headerBytes + end)) })
  }
  return tensors
}

/** Values of F32, F16 and BF16 tensors as f64, decoded without the code under test. */
export function valuesOf({ dtype, bytes }: PlainTensor): Float64Array {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  if (dtype === 'F32') return Float64Array.from({ length: bytes.byteLength / 4 }, (_, i) => view.getFloat32(i * 4, true))
  if (dtype === 'BF16') {
    const word = new DataView(new ArrayBuffer(4))
    return Float64Array.from({ length: bytes.byteLength / 2 }, (_, i) => (word.setUint32(0, (view.getUint16(i * 2, true) << 16) >>> 0), word.getFloat32(0)))
  }
  if (dtype !== 'F16') throw new Error(`no float type: ${dtype}`)
  return Float64Array.from({ length: bytes.byteLength / 2 }, (_, i) => halfValue(view.getUint16(i * 2, true)))
}

function halfValue(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1
  const exponent = (bits >> 10) & 31
  const fraction = bits & 1023
  if (exponent === 31) return fraction ? Number.NaN : sign * Infinity
  return sign * (exponent === 0 ? fraction * 2 ** -24 : (1024 + fraction) * 2 ** (exponent - 25))
}

/** Packs f32 values. */
export function f32Tensor(shape: readonly number[], values: ArrayLike<number>): PlainTensor {
  return { dtype: 'F32', shape, bytes: new Uint8Array(Float32Array.from(values).buffer) }
}
