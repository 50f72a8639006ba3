/**
 * `npm run demo`: the main job on the example pair. Merges tiny-story with its ship's-log LoRA into a folder and, in one pass, into a quantized GGUF with a
 * Modelfile; then lets llama.cpp answer one prompt from the base and from the merged model.
 */
import { spawnSync } from 'node:child_process'
import { rmSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { PROJECT, fail, filesUnder, setup } from './setup.mjs'

const OUT = 'demo-out'
const BASE = 'fixtures/tiny-story'
const ADAPTER = 'fixtures/ship-log-lora'
const MERGED_FOLDER = `${OUT}/tiny-story-ship-log`
const MERGED_GGUF = `${OUT}/tiny-story-ship-log-q8_0.gguf`
const BASE_GGUF = `${OUT}/tiny-story-f16.gguf`
const PROMPT = 'Tell me a story about a fox and a lantern.'
const NEXT = 'next: ' // what the commands put before the line to type next
const WIDTH = 96

await setup()
rmSync(join(PROJECT, OUT), { recursive: true, force: true })

print(`Merging ${BASE} (${sizeOf(BASE)}) with ${ADAPTER} (${sizeOf(ADAPTER)})`)
run('into a Hugging Face folder', 'lora-merge', [BASE, ADAPTER, MERGED_FOLDER])
const next = run('and, in one pass, into a quantized GGUF with its Modelfile', 'lora-merge', [BASE, ADAPTER, MERGED_GGUF, '--outtype', 'q8_0'])
run('and the base alone, to compare', 'to-gguf', [BASE, '--outtype', 'f16', '--outfile', BASE_GGUF, '--no-modelfile'])
answer()
print(`\nNext, with Ollama (https://ollama.com) installed:\n  ${next}`)

/** Runs a command as a user would type it and shows what it prints; gives the command that it says to type next, which is kept for the end. */
function run(what, command, args) {
  print(`\n${what}:\n  $ node bin/${command}.js ${args.join(' ')}`)
  const { status, signal, stdout, stderr } = spawnSync(process.execPath, [join('bin', `${command}.js`), ...args], { cwd: PROJECT, encoding: 'utf8' })
  if (status !== 0) fail(`${command} ended with ${status ?? signal}\n${stderr}${stdout}`)
  const lines = stdout.trimEnd().split('\n')
  const isNext = (line) => line.startsWith(NEXT)
  print(indent(lines.filter((line) => !isNext(line)).join('\n')))
  return lines.find(isNext)?.slice(NEXT.length)
}

/** One prompt, answered by both models in llama.cpp at temperature 0. */
function answer() {
  print(`\nllama.cpp, asked: ${PROMPT}`)
  for (const [name, path] of [
    ['base  ', BASE_GGUF],
    ['merged', MERGED_GGUF],
  ]) {
    const { status, stdout, stderr } = spawnSync(process.execPath, [join(PROJECT, 'scripts', 'ask-llama.mjs'), path], {
      cwd: PROJECT,
      input: JSON.stringify([PROMPT]),
      encoding: 'utf8',
    })
    if (status !== 0) fail(`llama.cpp could not answer from ${path}\n${stderr}`)
    const reply = JSON.parse(stdout)
    if (!reply.available) return print(`  (skipped: no prebuilt llama.cpp runs on this platform: ${reply.why})`)
    print(wrap(reply.answers[0].text.trim(), `  ${name}  `))
  }
}

function sizeOf(folder) {
  const files = filesUnder(join(PROJECT, folder))
  const bytes = files.reduce((sum, file) => sum + statSync(file).size, 0)
  return `${files.length} files, ${(bytes / 1e6).toFixed(2)} MB`
}

function wrap(text, label) {
  const lines = ['']
  for (const word of text.split(/\s+/)) {
    if (lines.at(-1).length + word.length > WIDTH) lines.push('')
    lines[lines.length - 1] += `${lines.at(-1) === '' ? '' : ' '}${word}`
  }
  return lines.map((line, i) => (i === 0 ? label : ' '.repeat(label.length)) + line).join('\n')
}

function indent(text) {
  return text.replace(/^/gm, '  ')
}

function print(text) {
  process.stdout.write(`${text}\n`)
}
