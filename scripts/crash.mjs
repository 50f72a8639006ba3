/**
 * Kills the commands at random moments, and fills the disk under them: no partial file may stand under a final name, an old file stays whole until
 * the new one is complete, and the next run ends well and removes what the dead one left. The judge is check_crash.mjs of the golden data.
 *
 *   node scripts/crash.mjs [--n 40] [gguf|folder]
 */
import { join } from 'node:path'
import { goldenFolder } from './golden.mjs'
import { PROJECT, runNode, setup } from './setup.mjs'

const FULL_DISK_MB = 2 // smaller than either output
const CONCURRENT = 4 // runs at once into the same place: one of them wins, whole

const path = (...parts) => `'${join(PROJECT, ...parts)}'`
const merge = `'${process.execPath}' ${path('bin', 'lora-merge.js')} ${path('fixtures', 'tiny-story')} ${path('fixtures', 'ship-log-lora')}`

const TARGETS = {
  gguf: { file: 'model.gguf', cmd: `${merge} {out} --outtype q8_0 --force --quiet`, beside: '^(Modelfile|model\\.gguf\\.receipt\\.json)$' },
  folder: {
    file: 'model.safetensors',
    cmd: `${merge} {dir} --max-shard-size 1GB --force --quiet`,
    beside: '^((config|generation_config|tokenizer|tokenizer_config|lora-to-gguf\\.receipt)\\.json|README\\.md|chat_template\\.jinja)$',
  },
}
const OLD = join(PROJECT, 'LICENSE') // any whole file

await setup()
const golden = goldenFolder()
const args = process.argv.slice(2)
const n = args.includes('--n') ? args[args.indexOf('--n') + 1] : '40'
const names = Object.keys(TARGETS).filter((name) => Object.keys(TARGETS).every((other) => !args.includes(other)) || args.includes(name))
const mayMount = process.getuid?.() === 0
if (!mayMount) console.log('crash: no full disk without root, who may mount one')
const failed = []
let series = 0
for (const name of names) {
  const { file, cmd, beside } = TARGETS[name]
  for (const signal of ['SIGKILL', 'SIGINT']) {
    for (const withOld of [false, true]) {
      const isFirst = signal === 'SIGKILL' && !withOld // what is not about signals is run once per output
      const label = `${name}, ${signal}${withOld ? ', over an old file' : ''}${isFirst ? `, runs at once${mayMount ? ', a full disk' : ''}` : ''}`
      console.log(`crash: ${label}`)
      const once = isFirst ? ['--concurrent', String(CONCURRENT), ...(mayMount ? ['--full-mb', String(FULL_DISK_MB)] : [])] : []
      const options = ['--cmd', cmd, '--file', file, '--beside', beside, '--n', n, '--signal', signal, '--seed', String(++series)]
      const status = runNode([join(golden, 'check_crash.mjs'), ...options, ...(withOld ? ['--old', OLD] : []), ...once])
      if (status !== 0) failed.push(label)
    }
  }
}
console.log(`crash: ${series - failed.length} of ${series} series of ${n} kills held${failed.map((label) => `\n  failed: ${label}`).join('')}`)
process.exitCode = failed.length === 0 ? 0 : 1
