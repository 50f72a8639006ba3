/** Which architectures there are, and which one a config.json names. */
import { FormatError, UnsupportedError, printable, quoted } from '../core/errors.js'
import { isArray, kindOf, type JsonObject } from '../core/json.js'
import { compileClass } from './compile.js'
import { effectiveConfig, textPart } from './config.js'
import type { Architecture, ArchitectureDefinition, ClassEntry } from './define.js'
import { bert } from './families/bert.js'
import { distilBert } from './families/distilbert.js'
import { roberta, xlmRoberta } from './families/roberta.js'
import { euroBert, llamaEmbed } from './families/embedding-decoders.js'
import { jinaBert2 } from './families/jina-bert.js'
import { modernBert } from './families/modern-bert.js'
import { neoBert } from './families/neo-bert.js'
import { nomicBert, nomicBertMoe } from './families/nomic-bert.js'
import { bloom } from './families/bloom.js'
import { cohere2, commandR } from './families/cohere.js'
import { deepseek, deepseek2 } from './families/deepseek.js'
import { exaone, exaone4 } from './families/exaone.js'
import { falcon } from './families/falcon.js'
import { chatglm, chatglmOwn, glm4, glm4moe } from './families/glm.js'
import { gemma3n, gemma4 } from './families/gemma-later.js'
import { gptneox } from './families/gpt-neox.js'
import { gptOss } from './families/gpt-oss.js'
import { gpt2 } from './families/gpt2.js'
import { granite, graniteMoe } from './families/granite.js'
import { internlm2 } from './families/internlm2.js'
import { baichuan, orion, xverse } from './families/baichuan.js'
import { apertus, arcee, internlm3, minicpm, nanbeige, smollm3 } from './families/llama-like.js'
import { mpt } from './families/mpt.js'
import { nemotron } from './families/nemotron.js'
import { olmo, olmo2, olmoe } from './families/olmo.js'
import { seedOss } from './families/seed-oss.js'
import { stablelm } from './families/stablelm.js'
import { starcoder, starcoder2 } from './families/starcoder.js'
import { gemma, gemma2, gemma3, gemmaEmbedding } from './families/gemma.js'
import { llama } from './families/llama.js'
import { mixtral } from './families/mixtral.js'
import { phi2, phi3, phimoe } from './families/phi.js'
import { qwen2moe } from './families/qwen2-moe.js'
import { qwen2 } from './families/qwen2.js'
import { qwen3next, qwen35, qwen35moe } from './families/qwen3-next.js'
import { qwen3, qwen3moe } from './families/qwen3.js'
import { qwen2vl, qwen3vl, qwen3vlmoe } from './families/vision-text.js'
import { lfm2, lfm2moe } from './families/lfm2.js'
import { mamba, mamba2 } from './families/mamba.js'
import { t5, t5Encoder } from './families/t5.js'
import { bamba } from './families/bamba.js'
import { graniteHybrid, graniteHybridDense, graniteHybridMoe } from './families/granite-hybrid.js'
import { nemotronH, nemotronHMoe } from './families/nemotron-h.js'
import { nemotronPuzzle } from './families/nemotron-puzzle.js'
import { falconH1 } from './families/falcon-h1.js'
import { jamba } from './families/jamba.js'
import { plamo2 } from './families/plamo2.js'
import { plamo3 } from './families/plamo3.js'
import { rwkv6 } from './families/rwkv6.js'
import { rwkv6qwen2 } from './families/rwkv6-qwen2.js'
import { arwkv7 } from './families/arwkv7.js'
import { rwkv7 } from './families/rwkv7.js'
import { afmoe } from './families/afmoe.js'
import { arctic } from './families/arctic.js'
import { bailing, bailing2 } from './families/bailing.js'
import { cohere2Moe } from './families/cohere-moe.js'
import { deepseek32, glmDsa } from './families/deepseek-indexed.js'
import { lladaMoe, rnd1 } from './families/diffusion-moe.js'
import { dream } from './families/dream.js'
import { llada } from './families/llada.js'
import { exaoneMoe } from './families/exaone-moe.js'
import { graniteMoeSwa, graniteSwa } from './families/granite-swa.js'
import { hunyuanVl } from './families/hunyuan-vl.js'
import { openElm } from './families/openelm.js'
import { smallThinker } from './families/smallthinker.js'
import { solarOpen } from './families/solar-open.js'
import { deci, deciBlocks } from './families/deci.js'
import { glm4MoeLite, glmOcr } from './families/glm-kin.js'
import { ruGpt3 } from './families/rugpt3.js'
import { groveMoe } from './families/grove-moe.js'
import { grok1, grok2 } from './families/grok.js'
import { jais } from './families/jais.js'
import { hunyuanV3 } from './families/hunyuan-v3.js'
import { maple, spark25 } from './families/windowed.js'
import { exaone45, qwen3Asr, qwen3Omni, sarashina } from './families/text-of-others.js'
import { mistral3 } from './families/mistral3.js'
import { llama4 } from './families/llama4.js'
import { ernie, ernieMoe, paddleOcr } from './families/ernie.js'
import { hunyuan } from './families/hunyuan.js'
import { hunyuanMoe } from './families/hunyuan-moe.js'
import { dots1, mellum, minimaxM2 } from './families/moe-like-qwen.js'
import { jais2, maincoder, pangu } from './families/decoders-small.js'
import { codeshell, refact } from './families/gpt-code.js'
import { minicpm3, plm } from './families/latent-small.js'
import { qwen } from './families/qwen.js'
import { nearestName } from './nearest.js'

/** Every family, in the order of `--print-supported-models`. */
export const FAMILIES: readonly ArchitectureDefinition[] = [
  ...[llama, mixtral, qwen2, qwen2moe, qwen3, qwen3moe, qwen3next, qwen35, qwen35moe],
  ...[gemma, gemma2, gemma3, gemma3n, gemma4, phi2, phi3, phimoe],
  ...[gpt2, gptneox, gptOss, bloom, falcon, mpt, stablelm, starcoder, starcoder2],
  ...[olmo, olmo2, olmoe, seedOss, granite, graniteMoe, commandR, cohere2, nemotron, exaone, exaone4],
  ...[smollm3, arcee, apertus, internlm2, internlm3, baichuan, minicpm, chatglm, chatglmOwn, glm4, glm4moe, deepseek, deepseek2],
  ...[qwen2vl, qwen3vl, qwen3vlmoe],
  ...[mistral3],
  ...[llama4],
  ...[ernie, ernieMoe, paddleOcr],
  ...[hunyuan, hunyuanMoe],
  ...[dots1, mellum, minimaxM2],
  ...[codeshell, jais2, maincoder, minicpm3, orion, pangu, plm, qwen, refact, xverse],
  ...[mamba, mamba2, lfm2, lfm2moe],
  ...[graniteHybrid, graniteHybridDense, graniteHybridMoe, bamba, nemotronH, nemotronHMoe, nemotronPuzzle, falconH1, jamba, plamo2, plamo3],
  ...[
    afmoe,
    arctic,
    bailing,
    bailing2,
    cohere2Moe,
    deepseek32,
    glmDsa,
    exaoneMoe,
    graniteSwa,
    graniteMoeSwa,
    hunyuanVl,
    nanbeige,
    openElm,
    smallThinker,
    solarOpen,
  ],
  ...[deciBlocks, deci, glmOcr, glm4MoeLite, ruGpt3, exaone45, qwen3Asr, qwen3Omni, sarashina],
  ...[grok1, grok2, jais, groveMoe, hunyuanV3, maple, spark25],
  ...[dream, llada, lladaMoe, rnd1],
  ...[rwkv6, rwkv6qwen2, rwkv7, arwkv7, t5, t5Encoder],
  ...[bert, distilBert, roberta, xlmRoberta, nomicBert, nomicBertMoe, modernBert, neoBert, jinaBert2, euroBert, llamaEmbed, gemmaEmbedding],
]

// Keyed by the user's text, so a Map: "constructor" and "__proto__" are names like others.
const CLASSES: ReadonlyMap<string, readonly ClassOfFamily[]> = byName(
  FAMILIES.flatMap((definition) => definition.huggingFace.map((entry) => ({ name: typeof entry === 'string' ? entry : entry[0], definition, entry }))),
)

interface ClassOfFamily {
  readonly name: string
  readonly definition: ArchitectureDefinition
  readonly entry: ClassEntry
}

function byName(all: readonly ClassOfFamily[]): Map<string, ClassOfFamily[]> {
  const found = new Map<string, ClassOfFamily[]>()
  for (const one of all) found.set(one.name, [...(found.get(one.name) ?? []), one])
  return found
}

const compiled = new Map<ClassOfFamily, Architecture>()

/** The tables of a class, made when they are first asked for: a command needs one of them. */
function architectureOf(found: ClassOfFamily): Architecture {
  const architecture = compiled.get(found) ?? compileClass(found.definition, found.entry)
  compiled.set(found, architecture)
  return architecture
}

/** Every class that becomes a GGUF architecture, in the table's order: names of the first are those that adapters are most often trained with. */
export function architecturesOf(gguf: string): Architecture[] {
  return [...CLASSES.values()].flat().flatMap((found) => (found.definition.gguf === gguf ? [architectureOf(found)] : []))
}

/** Names that config.json may have in `architectures`. */
export function supportedArchitectures(): string[] {
  return [...CLASSES.keys()]
}

/**
 * The architecture of a model.
 * @param config  config.json
 * @param file    what messages call it
 * @throws FormatError when it names none, UnsupportedError when it names one that is not in the table
 */
export function findArchitecture(config: JsonObject, file: string): Architecture {
  const name = architectureName(config, file)
  const candidates = CLASSES.get(name)
  const found =
    candidates?.find(({ definition }) => definition.when?.(effectiveConfig(config, file, definition)) === true) ??
    candidates?.find(({ definition }) => definition.when === undefined)
  if (found !== undefined) return architectureOf(found)
  if (candidates !== undefined)
    throw new UnsupportedError(`architecture ${quoted(name)} is supported, but not with parts that this config.json gives it.`, { file })
  const nearest = nearestName(name, CLASSES.keys())
  const hint = nearest === undefined ? '' : ` the nearest that is: ${nearest};`
  throw new UnsupportedError(`architecture ${quoted(name)} is not supported for GGUF output;${hint} to-gguf --print-supported-models lists all.`, { file })
}

/** Classes that are more than the text model that their config names inside. */
const WHOLE_CLASSES = new Set(['StepVLForConditionalGeneration', 'Sarashina2VisionForCausalLM', 'Exaone4_5_ForConditionalGeneration'])

/** As conversion/base.py `get_model_architecture`: the text model's own class when its part of the config names one, but for a few. */
function architectureName(config: JsonObject, file: string): string {
  const [whole] = [config.get('architectures')].flat()
  const inner = typeof whole === 'string' && WHOLE_CLASSES.has(whole) ? null : (textPart(config)?.get('architectures') ?? null)
  const [path, value] = inner === null ? ['architectures', config.get('architectures')] : ['text_config.architectures', inner]
  if (!isArray(value))
    throw new FormatError(`${path} is ${value === undefined ? 'missing' : printable(kindOf(value))}; an array with the name of a model class is wanted.`, {
      file,
    })
  const [name] = value
  if (typeof name !== 'string') throw new FormatError(`${path} begins with ${printable(kindOf(name))}; the name of a model class is wanted.`, { file })
  return name
}
