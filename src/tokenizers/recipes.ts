/**
 * The steps behind each recipe. What a recipe reads, what it writes and which families use it stands beside its name in
 * core/tokenizer-recipes.ts; a row of an architecture names one: `tokenizer: 'gemma3'`.
 */
import { UnsupportedError } from '../core/errors.js'
import type { TokenizerRecipe } from '../core/tokenizer-recipes.js'
import { byteLevel } from './byte-level-steps.js'
import { firstOf, type Draft, type Step } from './draft.js'
import { addSpacePrefix, codeLlama, llamaJson, missingModel, refuseTekken, sentencePiece, smallGranite } from './sentencepiece-steps.js'

const RECIPES: ReadonlyMap<TokenizerRecipe, readonly Step[]> = new Map<TokenizerRecipe, readonly Step[]>([
  ['llama', [refuseTekken, addSpacePrefix, firstOf(sentencePiece, llamaJson, byteLevel), codeLlama, smallGranite]],
  ['byteLevel', [byteLevel]],
  ['sentencePiece', [firstOf(sentencePiece, missingModel)]],
  ['sentencePieceOrByteLevel', [firstOf(sentencePiece, byteLevel)]],
])

/** Runs the steps of a draft's recipe. @throws ToolkitError */
export async function runRecipe(draft: Draft): Promise<void> {
  const steps = RECIPES.get(draft.recipe)
  if (steps === undefined) throw new UnsupportedError(`tokenizers of the kind ${draft.recipe} are not supported.`)
  for (const step of steps) await step(draft)
}
