/**
 * What a row of a family may say. `defineArchitecture` checks nothing that the compiler already does (a misspelt role,
 * transform or type does not compile); it checks what types cannot see, once, when the module is loaded.
 */
import { InternalError } from '../core/errors.js'
import type { TokenizerRecipe } from '../core/tokenizer-recipes.js'
import type { Config } from './config.js'
import type { ModelTypeDefaults } from './config-defaults.js'
import type { ExtraTensor } from './extras.js'
import type { HparamRow } from './hparams.js'
import { ROLES, type Role } from './roles.js'
import type { TransformName } from './transforms.js'

/**
 * Which tensors of a module there are. Without any of these words: `.weight`, and it must be there.
 *   bias       a `.bias` too      bias?  a `.bias` if the checkpoint has one      noWeight  no `.weight`
 *   tied       the `.weight` may be missing unless config.json says tie_word_embeddings: false
 *   optional   every tensor of the row may be missing
 *   exact      the source is the whole name of one tensor, not a module; it becomes the role's `.weight`
 *   exactBias, exactScale, bare   the same, and it becomes the role's `.bias`, `.scale`, or the role's name without suffix
 *   layers:X   must be there in the layers for which the family's condition X holds, and may be there in others
 */
export type PresenceWord = 'bias' | 'bias?' | 'noWeight' | 'tied' | 'optional' | 'exact' | 'exactBias' | 'exactScale' | 'bare' | `layers:${string}`

/**
 * One module of the checkpoint: its path, with {block} for the layer and {expert} for members of a list that become one
 * tensor; the role it plays in the file; then, in any order, transforms (applied left to right to every tensor of the
 * module) and words about which tensors there are. Several paths are tensors that become one, several roles parts of one.
 * Where rows give one role, any of them will do.
 */
export type TensorRow = readonly [source: string | readonly string[], role: Role | readonly Role[], ...words: readonly (TransformName | PresenceWord)[]]

/** How a Hugging Face class differs from the first one of its rows. */
export interface ClassVariant {
  /** Beginnings of names, as the rows say and as this class says: `['model.', '']`. Several: each may occur. */
  readonly prefixes?: readonly (readonly [inRows: string, inCheckpoint: string])[]
  /** Roles that it does not have. */
  readonly without?: readonly Role[]
}

/** The name of a Hugging Face class, with what sets it apart from the other classes of its family. */
export type ClassEntry = string | readonly [name: string, variant: ClassVariant]

export interface ArchitectureDefinition {
  /** Name in `general.architecture`, and prefix of its keys. */
  readonly gguf: string
  /** Values of `architectures` in config.json that these rows convert. */
  readonly huggingFace: readonly ClassEntry[]
  /** Which configs of its classes it is for; undefined = all that no other definition takes. */
  readonly when?: (config: Config) => boolean
  /** `model_type` to assume when config.json has none; it chooses the defaults. */
  readonly modelType: string
  /** What transformers fills in where config.json is silent, by model type. */
  readonly defaults?: Readonly<Record<string, ModelTypeDefaults>>
  /** In the reference's writing order. A row that repeats a key gives another value in the first one's place. */
  readonly hparams: readonly HparamRow[]
  /** Keys that the reference writes before `general.type`. */
  readonly earlyHparams?: readonly HparamRow[]
  readonly tensors: readonly TensorRow[]
  /** How the tokenizer is found and written. */
  readonly tokenizer: TokenizerRecipe
  /** Tensors that are computed; they come first. */
  readonly extras?: readonly ((config: Config) => readonly ExtraTensor[])[]
  /** Conditions that rows name with `layers:X`. */
  readonly layers?: Readonly<Record<string, (config: Config, block: number) => boolean>>
  /** Number of layers in the file, where that is not what config.json counts. */
  readonly blockCount?: (config: Config) => number
  /** Number of layers that must be there, where those behind them need not. */
  readonly requiredBlocks?: (config: Config) => number
  /** What becomes of layers past the last: predictors of several tokens are left out; without this they are an error. */
  readonly laterBlocks?: 'leftOut'
  /** Whole names of tensors that are left out, with placeholders. */
  readonly leftOut?: readonly string[]
  /** Small tensors whose values are metadata, with placeholders: `hparams` find them in the config's tensors; the file has no such tensors. */
  readonly reads?: readonly string[]
  /** Beginnings of names, as the rows say and as checkpoints may say; classes can have others. */
  readonly prefixes?: ClassVariant['prefixes']
  /** Names that depend on the config as the rows have them; undefined = left out. */
  readonly rename?: (name: string, config: Config) => string | undefined
  /** Parts that names lose wherever they stand, besides `language_model.`. */
  readonly strip?: readonly string[]
}

/** One tensor that a row allows. */
export interface TensorRule {
  /** As many as the transforms give. */
  readonly roles: readonly Role[]
  /** Tensors that it is made of; each with the names it may have in the checkpoint, whole, with placeholders. Messages use the first. */
  readonly pieces: readonly (readonly string[])[]
  /** Suffix in the file. */
  readonly suffix: '.weight' | '.bias' | '.scale' | ''
  readonly transforms: readonly TransformName[]
  readonly presence: 'required' | 'optional' | 'tied'
  /** Name of the condition under which `required` holds. */
  readonly layers: string | undefined
  /** Rules of one group come into the file together, when all of their tensors have been seen: the matrices of all experts. */
  readonly group: string | undefined
}

/** A rule and the piece of it that a name is. */
export interface PieceOfRule {
  readonly rule: TensorRule
  readonly piece: number
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
  /** What the names of tensors are. */
  readonly names: { match(name: string): readonly { readonly value: PieceOfRule | 'leftOut'; readonly captures: { block?: number; expert?: number } }[] }
}

/**
 * Declares a family.
 * @throws InternalError when the rows contradict each other: a mistake in the table, found when it is loaded
 */
export function defineArchitecture(definition: ArchitectureDefinition): ArchitectureDefinition {
  for (const [sources, roles, ...words] of definition.tensors) {
    for (const role of rolesOf(roles)) {
      for (const source of sourcesOf(sources)) {
        if (ROLES[role].gguf.includes('{block}') !== source.includes('{block}')) {
          throw new InternalError(`${definition.gguf}: ${source} and ${ROLES[role].gguf} must both have {block}, or neither`)
        }
      }
    }
    const unknown = words.find((word) => word.startsWith('layers:') && definition.layers?.[word.slice('layers:'.length)] === undefined)
    if (unknown !== undefined) throw new InternalError(`${definition.gguf}: no condition ${unknown}`)
  }
  return definition
}

export function rolesOf(roles: Role | readonly Role[]): readonly Role[] {
  return typeof roles === 'string' ? [roles] : roles
}

export function sourcesOf(sources: string | readonly string[]): readonly string[] {
  return typeof sources === 'string' ? [sources] : sources
}

/** The rows of a list, with another in the place of the one that writes the same key. */
export function withRow(rows: readonly HparamRow[], row: HparamRow): HparamRow[] {
  return rows.map((own) => (own[0] === row[0] ? row : own))
}

/** The rows of a list without those that write some keys. */
export function withoutKeys(rows: readonly HparamRow[], ...keys: readonly string[]): HparamRow[] {
  return rows.filter(([key]) => !keys.includes(key))
}
