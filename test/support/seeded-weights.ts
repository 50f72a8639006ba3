/**
 * Weights that are a function of a tensor's name, dtype and shape, so that fixtures need none: the same numbers as
 * fixtures/make/architectures/oracle.py gives them (its head says how), to the last bit.
 */

/** How a tensor is filled, where not by its name: constants, 2^-1 2^-2 …, bytes that are exponents, or integers below a number. */
export type Fill = 'zero' | 'one' | 'slopes' | 'scale' | number

type FloatType = 'BF16' | 'F16' | 'F32'

/** Significant bits: every value is a whole number of steps of a power of two, so it is exact in its dtype. */
const PRECISION: Readonly<Record<FloatType, number>> = { BF16: 8, F16: 11, F32: 24 }
const BYTES: Readonly<Record<string, number>> = { BF16: 2, F16: 2, F32: 4, U8: 1, I8: 1, F8_E4M3: 1, F8_E8M0: 1, I32: 4, I64: 8 }

/** A tensor's bytes, little-endian. @throws Error for a dtype that no fixture has */
export function seededTensor(name: string, shape: readonly number[], dtype: string, fill?: Fill): Uint8Array {
  const size = BYTES[dtype]
  if (size === undefined) throw new Error(`${name}: no weights of type ${dtype}`)
  const count = shape.reduce((product, dimension) => product * dimension, 1)
  const bytes = new Uint8Array(count * size)
  const view = new DataView(bytes.buffer)
  if (isFloat(dtype)) {
    const value = floatAt(name, shape, PRECISION[dtype], fill)
    for (let i = 0; i < count; i++) setFloat(view, i, dtype, value(i))
    return bytes
  }
  const hash = hashOf(name)
  for (let i = 0; i < count; i++) {
    const z = mixed(hash, i)
    if (size === 1) bytes[i] = byteOf(z >>> 24, dtype, fill)
    else view.setUint32(i * size, fill === 'one' ? 1 : z % (typeof fill === 'number' ? fill : 2), true) // the upper half of an I64 stays 0
  }
  return bytes
}

function isFloat(dtype: string): dtype is FloatType {
  return Object.hasOwn(PRECISION, dtype)
}

function floatAt(name: string, shape: readonly number[], precision: number, fill: Fill | undefined): (index: number) => number {
  if (fill === 'zero') return () => 0
  if (fill === 'one') return () => 1
  if (fill === 'slopes') return (i) => 2 ** -(i + 1)
  const hash = hashOf(name)
  const aroundOne = shape.length === 1 && name.endsWith('weight')
  const bits = aroundOne ? precision - 2 : precision
  const half = 2 ** (bits - 1)
  const step = aroundOne ? 2 ** -(precision - 1) : 2 ** -(precision + 2)
  const base = aroundOne ? 1 : 0
  return (i) => base + ((mixed(hash, i) >>> (32 - bits)) - half) * step
}

function setFloat(view: DataView, index: number, dtype: FloatType, value: number): void {
  if (dtype === 'F32') view.setFloat32(index * 4, value, true)
  else view.setUint16(index * 2, dtype === 'BF16' ? bfloat16Bits(value) : halfBits(value), true)
}

const FLOAT = new Float32Array(1)
const WORD = new Uint32Array(FLOAT.buffer)

function bfloat16Bits(value: number): number {
  FLOAT[0] = value
  return (WORD[0] ?? 0) >>> 16
}

/** Of a value that is exact and normal in f16, or zero. */
function halfBits(value: number): number {
  if (value === 0) return 0
  FLOAT[0] = value
  const bits = WORD[0] ?? 0
  return ((bits >>> 16) & 0x8000) | ((((bits >>> 23) & 0xff) - 112) << 10) | ((bits >>> 13) & 0x3ff)
}

function byteOf(top: number, dtype: string, fill: Fill | undefined): number {
  if (fill === 'scale') return (top & 7) + 118
  return dtype === 'F8_E4M3' ? top & 0xbf : top
}

/** FNV-1a over UTF-8. */
function hashOf(name: string): number {
  let hash = 0x811c9dc5
  for (const byte of new TextEncoder().encode(name)) hash = Math.imul(hash ^ byte, 0x01000193)
  return hash
}

function mixed(hash: number, index: number): number {
  let z = (hash + Math.imul(index + 1, 0x9e3779b9)) | 0
  z = Math.imul(z ^ (z >>> 16), 0x21f0aaad)
  z = Math.imul(z ^ (z >>> 15), 0x735a2d97)
  return (z ^ (z >>> 15)) >>> 0
}
