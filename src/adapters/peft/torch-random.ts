/**
 * The first numbers that `torch.normal` draws on a CPU from a seed: by them an adapter's random matrices tell which seed made them. Good to a few ulp of f32,
 * which is enough to recognise, not to make again.
 *
 * Law: Matsumoto & Nishimura, MT19937 (init by a 32-bit seed); torch aten/src/ATen/core/DistributionsHelper.h, native/cpu/DistributionTemplates.h `normal_fill`.
 */

const STATE = 624
const SHIFT = 397

/** Below this many elements torch draws pairs in f64, one after the other; from it on blocks of 16 in f32. */
const BLOCK = 16

/** The seed's 32-bit numbers; as many as `count`, at most 624. */
function randomWords(seed: number, count: number): Uint32Array {
  const state = new Uint32Array(STATE)
  state[0] = seed >>> 0
  for (let i = 1; i < STATE; i++) state[i] = Math.imul(1812433253, (state[i - 1] ?? 0) ^ ((state[i - 1] ?? 0) >>> 30)) + i
  return Uint32Array.from({ length: Math.min(count, STATE - SHIFT) }, (_, i) => {
    const mixed = ((state[i] ?? 0) & 0x8000_0000) | ((state[i + 1] ?? 0) & 0x7fff_ffff)
    let word = (state[i + SHIFT] ?? 0) ^ (mixed >>> 1) ^ ((mixed & 1) === 0 ? 0 : 0x9908_b0df)
    word ^= word >>> 11
    word ^= (word << 7) & 0x9d2c_5680
    word ^= (word << 15) & 0xefc6_0000
    return word ^ (word >>> 18)
  })
}

/**
 * The first elements of a tensor of standard normal numbers.
 * @param size  elements of the whole tensor: it decides how they are drawn
 * @returns at most 16 numbers; those at the end of a tensor that is no whole number of blocks are left out, for torch draws them again
 */
export function firstNormals(seed: number, size: number): number[] {
  if (size < BLOCK) return fewNormals(randomWords(seed, 4 * Math.ceil(size / 2)), size)
  const uniform = Array.from(randomWords(seed, BLOCK), (word) => (word & 0xff_ffff) / 2 ** 24)
  const half = BLOCK / 2
  const values = Array.from({ length: BLOCK }, (_, i) => {
    const radius = Math.sqrt(-2 * Math.log(1 - (uniform[i % half] ?? 0)))
    const angle = 2 * Math.PI * (uniform[(i % half) + half] ?? 0)
    return radius * (i < half ? Math.cos(angle) : Math.sin(angle))
  })
  return size % BLOCK === 0 ? values : values.slice(0, Math.min(BLOCK, size - BLOCK))
}

function fewNormals(words: Uint32Array, size: number): number[] {
  const uniform = (i: number): number => (((words[2 * i] ?? 0) & 0x1f_ffff) * 2 ** 32 + (words[2 * i + 1] ?? 0)) / 2 ** 53
  return Array.from({ length: size }, (_, i) => {
    const pair = i - (i % 2)
    const radius = Math.sqrt(-2 * Math.log1p(-uniform(pair + 1)))
    const angle = 2 * Math.PI * uniform(pair)
    return radius * (i % 2 === 0 ? Math.cos(angle) : Math.sin(angle))
  })
}
