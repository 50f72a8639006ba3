/**
 * Byte-level BPE: the step that most recipes are, or end with, in its family's dress.
 *
 * Law: llama.cpp conversion/base.py `_set_vocab_gpt2`, `_set_vocab_glm`, and the `set_vocab` of families that only set a
 * few ids more.
 */
import { FormatError, UnsupportedError, quoted } from '../core/errors.js'
import { bool } from '../core/key-value.js'
import { addTable, mergeSpecial, noTokenizer, type Draft, type Step } from './draft.js'
import { recognisePreTokenizer } from './pre-tokenizer.js'
import { readSpecialVocab, type SpecialVocabOptions } from './special-vocab.js'
import { isByteLevelJson, readVocabulary, type Vocabulary } from './tokenizer-json.js'
import { listedTable, type ListingOptions } from './vocabularies.js'

export interface ByteLevelOptions extends ListingOptions {
  /** Kind of special token -> text of the added token that is one, where nothing else names it. */
  readonly named?: readonly (readonly [kind: string, token: string])[]
  /** Kind of special token -> its id, where nothing else names one. */
  readonly fallbackIds?: readonly (readonly [kind: string, id: number])[]
  /** Name of the pre-tokenizer where it is not recognised. */
  readonly preOtherwise?: string
  /** Kinds to look for, where they are not the usual ones. */
  readonly kinds?: (draft: Draft) => readonly string[] | undefined
}

/** @throws FileSystemError when the folder holds no such tokenizer, FormatError when a token that the family needs is missing */
export function byteLevelBy(options: ByteLevelOptions): Step {
  return async (draft) => {
    const vocabulary = await readVocabulary(draft.files)
    if (vocabulary === undefined) throw noTokenizer(draft, 'tokenizer.json, or vocab.json with merges.txt')
    if (vocabulary.modelType !== 'BPE')
      throw new UnsupportedError(`a tokenizer with a ${vocabulary.modelType} model is not supported here: byte-level BPE wanted.`, { file: vocabulary.file })
    await finishByteLevel(draft, vocabulary, options)
    return true
  }
}

export const byteLevel: Step = byteLevelBy({})

/** Writes a byte-level vocabulary: table, pre-tokenizer, special tokens. */
export async function finishByteLevel(
  draft: Draft,
  vocabulary: Vocabulary,
  options: ByteLevelOptions,
  special: Partial<SpecialVocabOptions> = {},
): Promise<void> {
  const { files, config } = draft
  const kinds = options.kinds?.(draft)
  const vocab = await readSpecialVocab(files, config, {
    loadMerges: true,
    fallbackIds: [...(options.named ?? []).map(([kind, token]) => [kind, idOf(vocabulary, token)] as const), ...(options.fallbackIds ?? [])],
    ...(kinds === undefined ? {} : { kinds }),
    ...special,
  })
  const table = listedTable(vocabulary, draft.vocabSize, options)
  const pre = await recognisePreTokenizer(vocabulary, await files.json('tokenizer_config.json'), vocab.ids.get('bos'), draft.givenPre, options.preOtherwise)
  draft.notes.push(pre.note)
  addTable(draft, table, pre.name)
  mergeSpecial(draft, vocab)
}

function idOf(vocabulary: Vocabulary, token: string): number {
  for (const [id, { content }] of vocabulary.added) if (content === token) return id
  throw new FormatError(`has no added token ${quoted(token)}, which models of this family need.`, { file: vocabulary.file })
}

/** True for a folder whose tokenizer.json is byte-level, or that has vocab.json. */
export async function hasByteLevel({ files }: Draft): Promise<boolean> {
  const tokenizer = await files.json('tokenizer.json')
  return tokenizer === undefined ? files.has('vocab.json') : isByteLevelJson(tokenizer)
}

/** A switch of its own, before or after the rest. */
export function setSwitch(key: 'add_bos_token' | 'add_eos_token' | 'add_sep_token' | 'add_space_prefix', value: boolean): Step {
  return async ({ keyValues }) => {
    keyValues.set(`tokenizer.ggml.${key}`, bool(value))
    return true
  }
}
