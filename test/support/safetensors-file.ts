/** Safetensors files made byte by byte, good and bad, for tests of readers. */
import { memorySource, type ByteSource } from '../../src/core/bytes.js'

/** A file of a header, given as text or bytes, and data, given as bytes or a count of zeros. */
export function safetensorsFile(header: string | Uint8Array, data: Uint8Array | number = 0, claimedLength?: bigint): Uint8Array {
  const json = typeof header === 'string' ? new TextEncoder().encode(header) : header
  const tail = typeof data === 'number' ? new Uint8Array(data) : data
  const bytes = new Uint8Array(8 + json.byteLength + tail.byteLength)
  new DataView(bytes.buffer).setBigUint64(0, claimedLength ?? BigInt(json.byteLength), true)
  bytes.set(json, 8)
  bytes.set(tail, 8 + json.byteLength)
  return bytes
}

export function inMemory(bytes: Uint8Array, name = 'test.safetensors'): ByteSource {
  return memorySource(name, bytes)
}

/** `"name":{...}`: one row of a header. */
export function entry(name: string, dtype: string, shape: readonly (number | string)[], begin: number | string, end: number | string): string {
  return `${JSON.stringify(name)}:{"dtype":"${dtype}","shape":[${shape.join(',')}],"data_offsets":[${begin},${end}]}`
}
