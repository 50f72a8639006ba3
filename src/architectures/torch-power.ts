/** base ** exponent in f32 as torch computes it on a CPU. */

export function torchPower(base: number, exponents: readonly number[]): number[] {
  return exponents.map((exponent) => Math.fround(Math.fround(base) ** exponent))
}
