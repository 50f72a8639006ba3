/**
 * Asks llama.cpp (node-llama-cpp's prebuilt binary, CPU) at temperature 0, through the GGUF's own chat template.
 *
 *   node scripts/ask-llama.mjs FILE.gguf < prompts.json            ["Tell me a story.", ...]
 *   -> {"available": true, "answers": [{"text", "stopped"}, ...]}  stopped: the model itself ended its answer
 *   -> {"available": false, "why": "..."}                          no prebuilt binary for this platform; exit code 0
 *
 * A process of its own, so that a crash of the native code cannot take the demo or a test with it. Nothing but JSON goes to stdout.
 */
import { Template } from '@huggingface/jinja'
import { readFileSync } from 'node:fs'

const MAX_TOKENS = 120
const CONTEXT_TOKENS = 512
const THREADS = 1 // llama.cpp's threads spin at every barrier: with two of them on two busy cores a token of this small model takes 100 times as long

const [modelPath] = process.argv.slice(2)
const llama = await startLlama()
if (llama.why !== undefined) console.log(JSON.stringify({ available: false, why: llama.why }))
else if (modelPath === undefined) console.log(JSON.stringify({ available: true, answers: [] }))
else console.log(JSON.stringify({ available: true, answers: await askAll(llama, modelPath, JSON.parse(readFileSync(0, 'utf8'))) }))
process.exit(0) // native threads may still be winding down

async function startLlama() {
  try {
    const { LlamaLogLevel, getLlama } = await import('node-llama-cpp')
    return await getLlama({ gpu: false, build: 'never', progressLogs: false, logLevel: LlamaLogLevel.error, maxThreads: THREADS })
  } catch (error) {
    return { why: String(error.message).split('\n')[0] }
  }
}

async function askAll(llama, modelPath, prompts) {
  const model = await llama.loadModel({ modelPath, useMmap: false })
  const context = await model.createContext({ contextSize: CONTEXT_TOKENS })
  const sequence = context.getSequence()
  const render = chatRenderer(model)
  const answers = []
  for (const prompt of prompts) {
    await sequence.clearHistory()
    answers.push(await answer(model, sequence, render(prompt)))
  }
  return answers
}

/** Takes the most likely token each time, until the model ends its answer or has said enough. */
async function answer(model, sequence, text) {
  const tokens = model.tokenize(text, true)
  const { bos, shouldPrependBosToken } = model.tokens
  if (shouldPrependBosToken && bos !== null && tokens[0] !== bos) tokens.unshift(bos)
  const said = []
  for await (const token of sequence.evaluate(tokens, { temperature: 0, yieldEogToken: true })) {
    if (model.isEogToken(token)) return { text: model.detokenize(said, false, tokens), stopped: true }
    said.push(token)
    if (said.length >= MAX_TOKENS) break
  }
  return { text: model.detokenize(said, false, tokens), stopped: false }
}

/** The file's own chat template, as llama-server and Ollama use it. */
function chatRenderer(model) {
  const { tokenizer } = model.fileInfo.metadata
  const source = tokenizer?.chat_template
  if (typeof source !== 'string') throw new Error(`${model.filename}: the GGUF holds no tokenizer.chat_template`)
  const template = new Template(source)
  const special = { bos_token: model.tokens.bosString ?? '', eos_token: model.tokens.eosString ?? '' }
  return (content) => template.render({ messages: [{ role: 'user', content }], add_generation_prompt: true, ...special })
}
