/** f32 arithmetic that JavaScript lacks: used where the bits of another program's f32 functions are wanted. */

/** a * b + c rounded once to f32. The product of two f32 is exact in f64; the sum is rounded to odd there, so that rounding again cannot err. */
export function fusedMultiplyAdd(a: number, b: number, c: number): number {
  const p = a * b
  const s = p + c
  const v = s - p
  const lost = p - (s - v) + (c - v)
  if (lost === 0 || !Number.isFinite(s)) return Math.fround(s)
  const bits = new BigInt64Array(Float64Array.of(s).buffer)
  if (((bits[0] ?? 0n) & 1n) === 1n) return Math.fround(s)
  bits[0] = (bits[0] ?? 0n) + (lost > 0 === s > 0 ? 1n : -1n)
  return Math.fround(new Float64Array(bits.buffer)[0] ?? s)
}

/** To the nearest whole number, ties to the even one. */
export function roundHalfEven(x: number): number {
  const floor = Math.floor(x)
  if (x - floor !== 0.5) return Math.round(x)
  return floor % 2 === 0 ? floor : floor + 1
}
