/**
 * The steps behind each recipe. What a recipe reads, what it writes and which families use it stands beside its name in
 * core/tokenizer-recipes.ts; a row of an architecture names one: `tokenizer: 'gemma3'`.
 */
import type { TokenizerRecipe } from '../core/tokenizer-recipes.js'
import { bert, jinaBert2, nomicBert, roberta } from './bert-steps.js'
import { byteLevel, byteLevelBy, setSwitch } from './byte-level-steps.js'
import { firstOf, type Draft, type Step } from './draft.js'
import {
  addedTokenAs,
  arctic,
  byteLevelIfThere,
  chatGlm3,
  deci,
  decoderTokenAs,
  deepseek32,
  fixedIds,
  fixedTemplate,
  graniteHybridMultiple,
  laguna,
  mambaMultiple,
  minimaxTemplate,
  mpt,
  phi4,
  roundedUp,
  withoutSpacePrefix,
  withoutTokenizer,
  xverse,
} from './family-steps.js'
import { internLm2, internLm3 } from './internlm-steps.js'
import { codeLlama, hybridDna, ifTekken, smallGranite } from './llama-steps.js'
import { mistral } from './mistral-steps.js'
import { PHI3_LAYERS } from './piece-tables.js'
import { plamo2, plamo3 } from './plamo-steps.js'
import { rwkvWorld } from './rwkv-steps.js'
import {
  byteLevelInstead,
  configuredSpacePrefix,
  gemma4,
  infillIds,
  llamaJson,
  missingModel,
  piecesWith,
  rebuiltPieces,
  rebuiltPiecesWith,
  rebuiltUnlessKnown,
  sentencePiece,
} from './sentencepiece-steps.js'
import { arcade, deepseek2, hunyuan, hunyuanMoe, kimiK3, kimiLinear, qwen } from './tiktoken-steps.js'
import { t5, xlmRoberta } from './unigram-steps.js'

/** tokenizer.model, or what stands for it. */
const pieces = firstOf(sentencePiece, rebuiltPieces, byteLevelInstead, missingModel)
/** tokenizer.model or what stands for it, else byte-level BPE. */
const piecesOrBytes = firstOf(sentencePiece, rebuiltUnlessKnown, byteLevel)
const noSpacePrefix = setSwitch('add_space_prefix', false)
const END_OF_TEXT = '<|endoftext|>'
const CHAT_ML =
  "{% for message in messages %}{{'<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n'}}{% endfor %}" +
  "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
const glm4 = byteLevelBy({
  named: [
    ['eos', END_OF_TEXT],
    ['eot', '<|user|>'],
    ['unk', END_OF_TEXT],
    ['bos', END_OF_TEXT],
  ],
})

const RECIPES: Readonly<Record<TokenizerRecipe, readonly Step[]>> = {
  llama: [firstOf(ifTekken, sequence(configuredSpacePrefix(), hybridDna, firstOf(sentencePiece, llamaJson, byteLevel), codeLlama, smallGranite))],
  byteLevel: [byteLevel],
  sentencePiece: [pieces],
  sentencePieceOrByteLevel: [piecesOrBytes],
  sentencePieceWithPrefix: [pieces, configuredSpacePrefix(false)],
  arctic: [firstOf(arctic, rebuiltPieces, missingModel)],
  bert: [bert],
  chatGlm: [
    firstOf(
      chatGlm3,
      byteLevelBy({
        named: [
          ['eos', END_OF_TEXT],
          ['eot', '<|user|>'],
          ['unk', END_OF_TEXT],
        ],
      }),
    ),
  ],
  deci: [deci],
  deepseek2: [deepseek2],
  deepseek32: [deepseek32],
  dots3: [byteLevelBy({ named: [['eot', '<|endofassistant|>']] })],
  dream: [firstOf(sentencePiece, rebuiltUnlessKnown, byteLevelBy({ asWritten: true }))],
  euroBert: [setSwitch('add_bos_token', false), byteLevel],
  gemma: [
    pieces,
    infillIds(
      ['prefix', 'suffix', 'middle', 'fsep', 'eot'],
      [
        ['prefix', 67],
        ['suffix', 69],
        ['middle', 68],
        ['fsep', 70],
        ['eot', 107],
      ],
      false,
    ),
    noSpacePrefix,
  ],
  gemma2: [pieces, noSpacePrefix],
  gemma3: [firstOf(withoutSpacePrefix(sentencePiece), withoutSpacePrefix(rebuiltUnlessKnown), byteLevel)],
  gemma4: [gemma4, noSpacePrefix, setSwitch('add_bos_token', true)],
  glm4: [glm4],
  glm4Moe: [
    byteLevelBy({
      named: [
        ['bos', '[gMASK]'],
        ['eot', '<|user|>'],
        ['unk', END_OF_TEXT],
        ['eom', '<|observation|>'],
      ],
    }),
  ],
  graniteHybrid: [roundedUp(graniteHybridMultiple), firstOf(sentencePiece, rebuiltUnlessKnown, byteLevelIfThere, withoutTokenizer)],
  grok: [piecesOrBytes],
  hunyuan: [hunyuan],
  hunyuanMoe: [hunyuanMoe],
  internLm2: [internLm2],
  internLm3: [internLm3],
  internS1: [byteLevelBy({ fallbackIds: [['bos', 151643]] })],
  jamba: [firstOf(sentencePiece, withoutSpacePrefix(llamaJson), missingModel)],
  jinaBert2: [jinaBert2],
  kimiK3: [kimiK3],
  kimiLinear: [kimiLinear],
  laguna: [laguna],
  llada: [byteLevelBy({ asWritten: true }), setSwitch('add_bos_token', true)],
  mamba: [roundedUp(mambaMultiple(8)), firstOf(byteLevelIfThere, sentencePiece, withoutTokenizer)],
  mamba2: [roundedUp(mambaMultiple(16)), firstOf(sentencePiece, rebuiltUnlessKnown, byteLevelIfThere, withoutTokenizer)],
  minimax: [byteLevel, minimaxTemplate],
  mistral: [mistral],
  modernBert: [setSwitch('add_bos_token', true), setSwitch('add_eos_token', true), setSwitch('add_sep_token', true), byteLevel],
  mpt: [mpt],
  museGlimmer: [byteLevel, addedTokenAs('<|eot|>', 'eot')],
  nemotron: [pieces, fixedIds(['pad', 0], ['unk', 1])],
  nemotronH: [roundedUp(() => 8), byteLevel],
  nomicBert: [nomicBert],
  phi3: [firstOf(phi4, piecesWith(PHI3_LAYERS), rebuiltPiecesWith(PHI3_LAYERS), byteLevelInstead, missingModel)],
  plamo2: [plamo2],
  plamo3: [plamo3],
  qwen: [firstOf(...qwen)],
  qwen3Asr: [piecesOrBytes, fixedTemplate(CHAT_ML), decoderTokenAs('<|im_end|>', 'bos', 'eos')],
  qwen3Omni: [piecesOrBytes, decoderTokenAs('<|im_end|>', 'bos', 'eos')],
  refact: [byteLevel, infillIds(['prefix', 'suffix', 'middle', 'eot'], [], false)],
  roberta: [roberta],
  rwkvWorld: [rwkvWorld],
  solarOpen: [
    byteLevelBy({
      named: [
        ['eos', END_OF_TEXT],
        ['eot', END_OF_TEXT],
        ['unk', '<unk>'],
        ['bos', '<|startoftext|>'],
      ],
    }),
  ],
  stableLm: [firstOf(byteLevelIfThere, arcade, byteLevel)],
  t5: [t5],
  xlmRoberta: [xlmRoberta],
  xverse: [xverse],
}

/** All steps, one after another. */
function sequence(...steps: readonly Step[]): Step {
  return async (draft) => {
    for (const step of steps) await step(draft)
    return true
  }
}

/** Runs the steps of a draft's recipe. @throws ToolkitError */
export async function runRecipe(draft: Draft): Promise<void> {
  await sequence(...RECIPES[draft.recipe])(draft)
}
