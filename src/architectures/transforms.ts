/**
 * The closed vocabulary of what happens to tensors between a Hugging Face checkpoint and a GGUF file. Each word is a pure
 * function from tensors (shape + row program) to tensors: mostly one to one, several to one (experts), one to several
 * (fused projections). So everything streams. A family that needs a word that is not here adds it for all families.
 */
import type { Config } from './config.js'
import { LINEAR_ATTENTION_TRANSFORMS } from './transforms-linear-attention.js'
import { LAYOUT_TRANSFORMS } from './transforms-layout.js'
import { MULTIPLIER_TRANSFORMS } from './transforms-multipliers.js'
import { PROJECTION_TRANSFORMS } from './transforms-projections.js'
import { ROPE_KIN_TRANSFORMS } from './transforms-rope-kin.js'
import { TIME_MIX_TRANSFORMS } from './transforms-time-mix.js'
import { VALUE_TRANSFORMS } from './transforms-values.js'

/** A tensor on its way from the checkpoint to the file. */
export type { TensorProgram, Transform, TransformContext } from './transform.js'

export const TRANSFORMS = {
  ...LAYOUT_TRANSFORMS,
  ...PROJECTION_TRANSFORMS,
  ...LINEAR_ATTENTION_TRANSFORMS,
  ...MULTIPLIER_TRANSFORMS,
  ...ROPE_KIN_TRANSFORMS,
  ...TIME_MIX_TRANSFORMS,
  ...VALUE_TRANSFORMS,
} as const

/** A word of the vocabulary. */
export type TransformName = keyof typeof TRANSFORMS

/** How many tensors a word makes one tensor of, for words that stack the members of a list. */
export function listLength(transforms: readonly TransformName[], config: Config): number | undefined {
  for (const word of transforms) {
    const { members } = TRANSFORMS[word] as { members?: (config: Config) => number }
    if (members !== undefined) return members(config)
  }
  return undefined
}
