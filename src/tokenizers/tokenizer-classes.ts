/**
 * Which tokenizer class of transformers reads a folder, and what the class brings that the files do not say: special tokens
 * that it adds, and whether it builds its pipeline anew from vocabulary and merges (it then ignores added tokens of
 * tokenizer.json that tokenizer_config.json's added_tokens_decoder does not list).
 *
 * Law: transformers 5.23 models/auto/tokenization_auto.py `AutoTokenizer.from_pretrained`, and the `__init__` of each class.
 */
import { isObject, textOr, type JsonObject } from '../core/json.js'

/** Kind of special token -> its text. */
export type SpecialTexts = ReadonlyMap<string, string>

/** A class with an `__init__` of its own; every other class takes tokenizer.json as it is. */
export interface TokenizerClass {
  readonly name: string
  /** Special tokens where the configs do not name them. */
  readonly defaults: SpecialTexts
  /** Special tokens that it flags anew as special (further ones as not normalized too), whatever their flags were; all: as not normalized. */
  readonly flags: 'none' | 'special' | 'all'
}

const texts = (entries: Record<string, string>): SpecialTexts => new Map(Object.entries(entries))
const END_OF_TEXT = '<|endoftext|>'
const GPT2 = texts({ unk: END_OF_TEXT, bos: END_OF_TEXT, eos: END_OF_TEXT })
const QWEN2 = texts({ unk: END_OF_TEXT, eos: END_OF_TEXT, pad: END_OF_TEXT })
const LLAMA = texts({ unk: '<unk>', bos: '<s>', eos: '</s>' })
const ROBERTA = texts({ bos: '<s>', eos: '</s>', sep: '</s>', cls: '<s>', unk: '<unk>', pad: '<pad>', mask: '<mask>' })
const DEFAULTS: ReadonlyMap<string, SpecialTexts> = new Map([
  ['GPT2Tokenizer', GPT2],
  ['CodeGenTokenizer', GPT2],
  ['WhisperTokenizer', GPT2],
  ['GPTNeoXTokenizer', texts({ unk: END_OF_TEXT, bos: END_OF_TEXT, eos: END_OF_TEXT, pad: '<|padding|>' })],
  ['Qwen2Tokenizer', QWEN2],
  ['Qwen3_5Tokenizer', QWEN2],
  [
    'CohereTokenizer',
    texts({
      unk: '<UNK>',
      bos: '<BOS_TOKEN>',
      eos: '<|END_OF_TURN_TOKEN|>',
      pad: '<PAD>',
      cls: '<CLS>',
      sep: '<SEP>',
      mask: '<MASK_TOKEN>',
    }),
  ],
  ['LlamaTokenizer', LLAMA],
  ['CodeLlamaTokenizer', LLAMA],
  ['GemmaTokenizer', texts({ unk: '<unk>', bos: '<bos>', eos: '<eos>', pad: '<pad>', mask: '<mask>' })],
  ['RobertaTokenizer', ROBERTA],
  ['BartTokenizer', ROBERTA],
  ['XLMRobertaTokenizer', ROBERTA],
  ['CamembertTokenizer', ROBERTA],
  ['BertTokenizer', texts({ unk: '[UNK]', sep: '[SEP]', pad: '[PAD]', cls: '[CLS]', mask: '[MASK]' })],
  ['T5Tokenizer', texts({ eos: '</s>', unk: '<unk>', pad: '<pad>' })],
])

const words = (text: string) => text.split(' ')
/** Class -> model types that transformers registers it for; only those of text models. */
const REGISTERED: readonly (readonly [string, readonly string[]])[] = [
  ['GPT2Tokenizer', words('codegen dbrx emu3 gpt2 gpt_neo gptj jais2 opt phi starcoder2')],
  [
    'Qwen2Tokenizer',
    words('audioflamingo3 hunyuan_vl internvl qwen2 qwen2_5_omni qwen2_5_vl qwen2_audio qwen2_moe qwen2_vl qwen3 qwen3_asr qwen3_moe qwen3_next').concat(
      words('qwen3_omni_moe qwen3_vl qwen3_vl_moe dots3_note'),
    ),
  ],
  ['Qwen3_5Tokenizer', words('qwen3_5 qwen3_5_moe qwen3_5_moe_text qwen3_5_text qwen4_exp')],
  ['CohereTokenizer', words('aya_vision cohere cohere2')],
  ['GPTNeoXTokenizer', words('falcon_mamba gpt_neox mamba mamba2 mpt olmo olmoe rwkv xlstm')],
  ['RobertaTokenizer', words('bart data2vec-text ibert longformer roberta roberta-prelayernorm')],
  ['GemmaTokenizer', words('gemma gemma2 gemma3 gemma3_text gemma3n gemma3n_text recurrent_gemma t5gemma zaya')],
  ['CodeLlamaTokenizer', ['code_llama']],
  ['BertTokenizer', words('bert convbert distilbert electra ernie megatron-bert nezha nomic_bert squeezebert')],
  ['XLMRobertaTokenizer', words('gte jina_embeddings_v3 xlm-roberta xmod')],
  ['T5Tokenizer', words('mt5 switch_transformers t5')],
  // model types whose tokenizer.json is taken as it is, whatever tokenizer_class says
  [
    'TokenizersBackend',
    words('arctic aria chatlm ernie4_5 ernie4_5_moe flex_olmo glm glm4 glm4_moe glm4_moe_lite glm4v glm4v_moe glmasr gpt_bigcode granite granitemoe')
      .concat(words('granitemoehybrid granitemoeshared hyperclovax internlm2 internlm3 iquestcoder jamba kimi_k25 kimi_linear llava llava_next mimo_v2_flash'))
      .concat(words('minicpm3 minicpmv minicpmv4_6 minimax_m2 ministral ministral3 mistral mistral3 mixtral modernbert molmo molmo2 nemotron nystromformer'))
      .concat(
        words('olmo2 olmo3 olmo_hybrid paddleocr_vl persimmon phi3 phi3_v phimoe pixtral smolvlm stablelm step3_vl umt5 vipllava voxtral xlm-roberta-xl'),
      ),
  ],
]
const CLASS_OF: ReadonlyMap<unknown, string> = new Map(REGISTERED.flatMap(([name, types]) => types.map((type) => [type, name] as const)))

/** Model types whose tokenizer_class on the hub is known to be wrong: the registered class is used. */
const WRONG_ON_THE_HUB: ReadonlySet<unknown> = new Set(
  words('arctic ernie4_5 ernie4_5_moe hyperclovax internlm2 internlm3 jamba llava llava_next minicpm3 minicpmv minimax_m2 modernbert nemotron').concat(
    words('paddleocr_vl phi3 phi3_v phimoe qwen2 qwen3_5 qwen3_5_moe qwen3_5_moe_text qwen4_exp step3_vl vipllava smolvlm'),
  ),
)

/**
 * The class that reads a folder; undefined when tokenizer.json is taken as it is.
 * @param config       config.json, where there is one
 * @param byteLevel    true when tokenizer.json is byte-level
 */
export function tokenizerClass(config: JsonObject | undefined, tokenizerConfig: JsonObject | undefined, byteLevel: boolean): TokenizerClass | undefined {
  const type = modelType(config)
  const registered = CLASS_OF.get(type)
  const named = textOr(tokenizerConfig?.get('tokenizer_class') ?? config?.get('tokenizer_class'), '').replace(/Fast$/, '')
  const wrong = WRONG_ON_THE_HUB.has(type)
  if (named === 'LlamaTokenizer' && !wrong && byteLevel) return undefined
  if (named === '') return classOf(registered)
  if (registered === undefined || registered === named) return classOf(named)
  if (registered === 'TokenizersBackend') return undefined
  return classOf(wrong ? registered : named)
}

const FLAGS: ReadonlyMap<string, TokenizerClass['flags']> = new Map([
  ['Qwen2Tokenizer', 'all'],
  ['Qwen3_5Tokenizer', 'all'],
  ['CohereTokenizer', 'special'],
])

function classOf(name: string | undefined): TokenizerClass | undefined {
  const defaults = DEFAULTS.get(name ?? '')
  return defaults === undefined || name === undefined ? undefined : { name, defaults, flags: FLAGS.get(name) ?? 'none' }
}

function modelType(config: JsonObject | undefined): unknown {
  const own = config?.get('model_type')
  const text = config?.get('text_config')
  return own ?? (isObject(text) ? text.get('model_type') : undefined)
}
