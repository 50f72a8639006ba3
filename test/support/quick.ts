/** What a quick run leaves to .ci/run, which sets EXHAUSTIVE. */

/** Every so-manieth of a list, or all of it where everything is to be tried. */
export function someOf<T>(list: readonly T[], share: number): readonly T[] {
  return process.env['EXHAUSTIVE'] === undefined ? list.filter((_, i) => i % share === 0) : list
}
