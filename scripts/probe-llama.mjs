/**
 * Loads GGUF files in llama.cpp (node-llama-cpp's prebuilt binary, CPU) and evaluates a few tokens with each.
 *
 *   node scripts/probe-llama.mjs < files.json              ["a.gguf", ...]
 *   -> one JSON line per file, as soon as it is known: {"file", "ok": true, "outputs": 288} or {"file", "ok": false, "why": "..."}
 *   -> {"available": false, "why": "..."}                   no prebuilt binary for this platform; exit code 0
 *
 * ok: every logit (for an encoder, every number of the embedding) is finite and they are not all equal. A file that makes llama.cpp abort
 * ends the process without a line for it, and one that makes it hang says nothing: the caller goes on with the rest in a new one.
 */
import { readFileSync } from 'node:fs'

const TOKENS = [1, 5, 70, 71, 72]
const ENCODERS = new Set([
  'bert',
  'modern-bert',
  'nomic-bert',
  'nomic-bert-moe',
  'neo-bert',
  'jina-bert-v2',
  'jina-bert-v3',
  'eurobert',
  'gemma-embedding',
  'llama-embed',
  't5encoder',
])

const said = []
const llama = await startLlama()
if (llama.why !== undefined) say({ available: false, why: llama.why })
else for (const file of JSON.parse(readFileSync(0, 'utf8'))) say(await probe(llama, file))
process.exit(0) // native threads may still be winding down

function say(line) {
  console.log(JSON.stringify(line))
}

async function startLlama() {
  try {
    const { LlamaLogLevel, getLlama } = await import('node-llama-cpp')
    const logger = (level, message) => said.push(message.trim())
    return await getLlama({ gpu: false, build: 'never', progressLogs: false, logLevel: LlamaLogLevel.warn, logger, maxThreads: 1 })
  } catch (error) {
    return { why: String(error.message).split('\n')[0] }
  }
}

async function probe(llama, file) {
  said.length = 0
  let model
  try {
    model = await llama.loadModel({ modelPath: file, useMmap: false })
    const values = ENCODERS.has(model.fileInfo.metadata.general.architecture) ? await embedding(model) : await logits(model)
    if (values.length < 2) return { file, ok: false, why: `${values.length} outputs` }
    if (!values.every(Number.isFinite)) return { file, ok: false, why: 'an output that is not finite' }
    if (values.every((value) => value === values[0])) return { file, ok: false, why: 'all outputs are equal' }
    return { file, ok: true, outputs: values.length }
  } catch (error) {
    await new Promise((resolve) => setTimeout(resolve, 20)) // its log comes by way of the event loop
    return { file, ok: false, why: reason(error) }
  } finally {
    await model?.dispose()
  }
}

async function logits(model) {
  const context = await model.createContext({ contextSize: 64, batchSize: 64 })
  const sequence = context.getSequence()
  const last = TOKENS.length - 1
  const output = await sequence.controlledEvaluate(TOKENS.map((token, i) => (i === last ? [token, { generateNext: { logits: true } }] : token)))
  return [...output[last].next.logits.values()]
}

async function embedding(model) {
  const context = await model.createEmbeddingContext({ contextSize: 64, batchSize: 64 })
  return (await context.getEmbeddingFor(TOKENS)).vector
}

/** What llama.cpp logged says more than the exception. */
function reason(error) {
  const line = said.find(
    (message) => /error|unknown|missing|wrong|invalid|not found|unsupported/i.test(message) && !/simulating|failed to load model/i.test(message),
  )
  return line ?? [...said, String(error.message).split('\n')[0]].join(' | ')
}
