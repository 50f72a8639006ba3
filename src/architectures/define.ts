/**
 * What a row of a family may say. `defineArchitecture` checks nothing that the compiler already does (a misspelt role,
 * transform or type does not compile); it checks what types cannot see, once, when the module is loaded.
 */
import { InternalError } from '../core/errors.js'
import type { TokenizerRecipe } from '../core/tokenizer-recipes.js'
import type { ExtraName } from './extras.js'
import type { HparamRow } from './hparams.js'
import { ROLES, type Role } from './roles.js'
import type { TemplateTrie } from './templates.js'
import type { TransformName } from './transforms.js'

/**
 * Which tensors of a module there are. Without any of these words: `.weight`, and it must be there.
 *   bias       a `.bias` too      bias?  a `.bias` if the checkpoint has one      noWeight  no `.weight`
 *   tied       the `.weight` may be missing unless config.json says tie_word_embeddings: false
 *   optional   every tensor of the row may be missing
 *   exact      the source is the whole name of one tensor, not a module; it becomes the role's `.weight`
 *   exactBias  the same, and it becomes the role's `.bias`
 */
export type PresenceWord = 'bias' | 'bias?' | 'noWeight' | 'tied' | 'optional' | 'exact' | 'exactBias'

/**
 * One module of the checkpoint: its path, with {block} for the layer; the role it plays in the file; then, in any order,
 * transforms (applied left to right to every tensor of the module) and words about which tensors there are.
 */
export type TensorRow = readonly [source: string, role: Role, ...words: readonly (TransformName | PresenceWord)[]]

/** How a Hugging Face class differs from the first one of its rows. */
export interface ClassVariant {
  /** Beginnings of names, as the rows say and as this class says: `['model.', '']`. Several: each may occur. */
  readonly prefixes?: readonly (readonly [inRows: string, inCheckpoint: string])[]
  /** Roles that it does not have. */
  readonly without?: readonly Role[]
}

export interface ArchitectureDefinition {
  /** Name in `general.architecture`, and prefix of its keys. */
  readonly gguf: string
  /** Values of `architectures` in config.json that these rows convert. */
  readonly huggingFace: readonly (string | readonly [name: string, variant: ClassVariant])[]
  /** `model_type` to assume when config.json has none; it chooses the defaults. */
  readonly modelType: string
  /** In the reference's writing order. */
  readonly hparams: readonly HparamRow[]
  readonly tensors: readonly TensorRow[]
  /** How the tokenizer is found and written. */
  readonly tokenizer: TokenizerRecipe
  /** Tensors that are computed; they come first. */
  readonly extras?: readonly ExtraName[]
}

/** One tensor that a row allows. */
export interface TensorRule {
  readonly role: Role
  /** Names it may have in the checkpoint, whole, with placeholders; the first is the one that messages use. */
  readonly sources: readonly string[]
  /** Suffix in the file. */
  readonly suffix: '.weight' | '.bias'
  readonly transforms: readonly TransformName[]
  readonly presence: 'required' | 'optional' | 'tied'
}

/** A Hugging Face class that can be converted. */
export interface Architecture {
  /** Value of `architectures` in config.json. */
  readonly name: string
  /** Value of `general.architecture`. */
  readonly gguf: string
  readonly tokenizer: TokenizerRecipe
  readonly definition: ArchitectureDefinition
  readonly rules: readonly TensorRule[]
  readonly names: TemplateTrie<TensorRule>
}

/**
 * Declares a family.
 * @throws InternalError when the rows contradict each other: a mistake in the table, found when it is loaded
 */
export function defineArchitecture(definition: ArchitectureDefinition): ArchitectureDefinition {
  const keys = definition.hparams.map(([key]) => key)
  const twice = keys.find((key, i) => keys.indexOf(key) < i)
  if (twice !== undefined) throw new InternalError(`${definition.gguf}: two rows write ${twice}`)
  for (const [source, role] of definition.tensors) {
    if (ROLES[role].gguf.includes('{block}') !== source.includes('{block}')) {
      throw new InternalError(`${definition.gguf}: ${source} and ${ROLES[role].gguf} must both have {block}, or neither`)
    }
  }
  return definition
}
