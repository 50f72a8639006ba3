/** What users type: options and their spellings, paths, weights, help and version. */
import assert from 'node:assert/strict'
import { cpSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { parseAdapter, splitPaths } from '../src/cli/adapter-argument.js'
import { kebabCase } from '../src/cli/options.js'
import { parseCount, parseDtype, parseOuttype, parseSize } from '../src/cli/values.js'
import { UsageError } from '../src/core/errors.js'
import { FIXTURES, PROJECT } from './support/paths.js'
import { runCli, runCliOk, type CliResult } from './support/run-cli.js'
import { workspace } from './support/workspace.js'

const byText = (a: string, b: string): number => (a < b ? -1 : 1)

const BASE = join(FIXTURES, 'tiny-story')
const ADAPTER = join(FIXTURES, 'ship-log-lora')

const NOTHING = (): boolean => false
const only =
  (...paths: string[]) =>
  (path: string): boolean =>
    paths.includes(path)

/** The one line of stderr, which must be all there is. */
function errorLine({ code, stdout, stderr }: CliResult, wantedCode: number): string {
  assert.equal(code, wantedCode, stderr)
  assert.equal(stdout, '')
  assert.match(stderr, /^error: [^\n]+\n$/)
  return stderr
}

describe('ADAPTER@WEIGHT', () => {
  for (const [typed, path, weight] of [
    ['a@0.7', 'a', 0.7],
    ['a@-1', 'a', -1],
    ['a@+2', 'a', 2],
    ['a@1e-1', 'a', 0.1],
    ['a@1E2', 'a', 100],
    ['a@.5', 'a', 0.5],
    ['a@5.', 'a', 5],
    ['a@0', 'a', 0],
    ['org/name@1.0@1', 'org/name@1.0', 1],
    ['me@home/a@0.5', 'me@home/a', 0.5],
    ['C:\\models\\a@2', 'C:\\models\\a', 2],
  ] as const) {
    it(`reads ${typed} as ${path} times ${weight}`, () => assert.deepEqual(parseAdapter(typed, NOTHING), { path, weight }))
  }

  for (const typed of ['a', 'me@home/a', 'a@', '@0.5', 'a@main', 'a@0x10', 'a@1_000', 'a@nan', 'a@-', 'a@0.7b', 'a @ 1 b']) {
    it(`takes ${typed} as a path without weight`, () => assert.deepEqual(parseAdapter(typed, NOTHING), { path: typed }))
  }

  it('takes a path that exists as written, whatever it ends in', () => {
    assert.deepEqual(parseAdapter('dir@2', only('dir@2')), { path: 'dir@2' })
    assert.deepEqual(parseAdapter('dir@2@0.5', only('dir@2')), { path: 'dir@2', weight: 0.5 })
  })

  it('refuses a weight beyond all numbers', () => assert.throws(() => parseAdapter('a@1e999', NOTHING), UsageError))

  it('splits base, adapters and output', () => {
    assert.deepEqual(splitPaths(['base', 'a@0.5', 'b', 'out'], NOTHING), { base: 'base', adapters: [{ path: 'a', weight: 0.5 }, { path: 'b' }], out: 'out' })
  })

  it('says which path is missing', () => {
    assert.throws(() => splitPaths([], NOTHING), /BASE, ADAPTER and OUT are wanted/)
    assert.throws(() => splitPaths(['base'], NOTHING), /BASE, ADAPTER and OUT are wanted/)
    assert.throws(() => splitPaths(['base', 'adapter'], NOTHING), /OUT is missing/)
  })
})

describe('spellings of options and values', () => {
  it('takes --snake_case for every option, and leaves values and what follows -- alone', () => {
    assert.deepEqual(kebabCase(['--max_shard_size', '5_GB', '--model_name=my_model', 'a_b', '--', '--x_y']), [
      '--max-shard-size',
      '5_GB',
      '--model-name=my_model',
      'a_b',
      '--',
      '--x_y',
    ])
  })

  for (const [typed, dtype, outtype] of [
    ['F16', 'F16', 'f16'],
    ['fp16', 'F16', 'f16'],
    ['Float16', 'F16', 'f16'],
    ['f32', 'F32', 'f32'],
    ['FP32', 'F32', 'f32'],
    ['float32', 'F32', 'f32'],
    ['BF16', 'BF16', 'bf16'],
    ['BFloat16', 'BF16', 'bf16'],
    ['AUTO', undefined, 'auto'],
  ] as const) {
    it(`reads the type ${typed}`, () => {
      assert.equal(parseDtype('--dtype', typed), dtype)
      assert.equal(parseOuttype('--outtype', typed), outtype)
    })
  }

  it('reads q8_0 in any case as an outtype, not as a dtype', () => {
    assert.equal(parseOuttype('--outtype', 'Q8_0'), 'q8_0')
    assert.throws(() => parseDtype('--dtype', 'q8_0'), /--dtype takes auto, f32, f16, bf16, not "q8_0"/)
  })

  for (const [typed, bytes] of [
    ['500M', 500e6],
    ['5GB', 5e9],
    ['1.5gb', 1.5e9],
    ['2GiB', 2 ** 31],
    ['10 kB', 1e4],
    ['12345', 12345],
  ] as const) {
    it(`reads the size ${typed}`, () => assert.equal(parseSize('--max-shard-size', typed), bytes))
  }

  for (const typed of ['', '0', '-5GB', '5XB', 'GB', '1e3', '99999999TB', '0.1']) {
    it(`refuses the size "${typed}"`, () => assert.throws(() => parseSize('--max-shard-size', typed), /--max-shard-size takes a size such as/))
  }

  it('reads counts within their limits', () => {
    assert.deepEqual([parseCount('-t', '1', 8), parseCount('-t', '8', 8)], [1, 8])
    for (const typed of ['0', '9', '-1', '1.5', 'all', '']) assert.throws(() => parseCount('-t', typed, 8), UsageError)
  })
})

describe('help and version', () => {
  const OPTIONS = {
    'lora-merge': '--dtype --max-shard-size --outtype --model-name --metadata --vocab-only --no-vocab --pre --no-modelfile --tokenizer --clamp-overflow',
    'to-gguf': '--adapter --outtype --outfile --model-name --metadata --vocab-only --no-vocab --pre --no-modelfile --tokenizer --clamp-overflow',
  }
  const COMMON = '--dry-run --json --force --threads --quiet --verbose --receipt --no-receipt --hash --help --version'

  for (const [command, own] of Object.entries(OPTIONS)) {
    it(`${command} --help names every option of the contract, within 80 columns`, async () => {
      const { stdout, stderr } = await runCliOk(command as 'to-gguf', ['--help'])
      for (const option of `${own} ${COMMON}`.split(' ')) assert.match(stdout, new RegExp(`${option}\\b`), option)
      assert.match(stdout, /-o, --outfile/)
      assert.match(stdout, /-t, --threads/)
      assert.equal(stderr, '')
      assert.deepEqual(
        stdout.split('\n').filter((line) => line.length > 80),
        [],
      )
      assert.ok(!stdout.includes('--debug'), '--debug is for reports of bugs')
    })
  }

  it('lora-to-gguf lists its commands, with --help, -h, help or nothing', async () => {
    const texts = await Promise.all([['--help'], ['-h'], ['help'], []].map(async (args) => (await runCliOk('lora-to-gguf', args)).stdout))
    for (const command of ['merge', 'convert', 'inspect']) assert.match(texts[0] ?? '', new RegExp(`^ {2}${command} `, 'm'))
    assert.equal(new Set(texts).size, 1)
  })

  it('every command of lora-to-gguf has its own help', async () => {
    for (const [command, option] of [
      ['merge', '--max-shard-size'],
      ['convert', '--adapter'],
      ['inspect', '--hash'],
    ] as const) {
      const { stdout } = await runCliOk('lora-to-gguf', [command, '-h'])
      assert.match(stdout, new RegExp(`^Usage: lora-to-gguf ${command} `))
      assert.ok(stdout.includes(option), option)
    }
  })

  it('--version prints the version alone; with --verbose, each pinned reference tool', async () => {
    const { version } = JSON.parse(readFileSync(join(PROJECT, 'package.json'), 'utf8')) as { version: string }
    const references = JSON.parse(readFileSync(join(PROJECT, 'reference.json'), 'utf8')) as Record<string, { version: string; commit?: string }>
    for (const command of ['lora-merge', 'to-gguf', 'lora-to-gguf'] as const) assert.equal((await runCliOk(command, ['--version'])).stdout, `${version}\n`)
    for (const args of [
      ['--version', '--verbose'],
      ['--verbose', '--version'],
    ]) {
      const { stdout } = await runCliOk('lora-to-gguf', args)
      for (const [tool, { version: pinned, commit }] of Object.entries(references)) {
        const line = stdout.split('\n').find((one) => one.includes(` ${tool} `))
        assert.ok(line?.includes(pinned) === true, tool)
        if (commit !== undefined) assert.ok(line?.includes(commit.slice(0, 7)), tool)
      }
    }
  })

  it('--print-supported-models lists architectures, as JSON with --json', async () => {
    const { stdout } = await runCliOk('to-gguf', ['--print-supported-models'])
    assert.ok(stdout.split('\n').includes('LlamaForCausalLM'))
    const json = await runCliOk('to-gguf', ['--print_supported_models', '--json'])
    assert.ok((JSON.parse(json.stdout) as { supportedModels: string[] }).supportedModels.includes('MistralForCausalLM'))
  })
})

describe('what is typed wrongly', () => {
  for (const [what, command, args, pattern] of [
    ['an unknown option', 'lora-merge', [BASE, ADAPTER, 'x.gguf', '--outtypes', 'f16'], /unknown option '--outtypes'.*--outtype/],
    ['an option without its value', 'to-gguf', [BASE, '--outtype'], /--outtype <TYPE>.* argument missing/],
    ['an unknown outtype', 'to-gguf', [BASE, '--outtype', 'q9_9'], /--outtype takes auto, f32, f16, bf16, q8_0, q6_k, .+, not "q9_9"/],
    ['an unknown dtype', 'lora-merge', [BASE, ADAPTER, 'x', '--dtype', 'int4'], /--dtype takes auto/],
    ['a bad size', 'lora-merge', [BASE, ADAPTER, 'x', '--max-shard-size', 'much'], /--max-shard-size takes a size/],
    ['a bad number of threads', 'to-gguf', [BASE, '-t', '0', '--dry-run'], /--threads takes a whole number/],
    ['no model', 'to-gguf', ['--outtype', 'f16'], /MODEL is missing/],
    ['two models', 'to-gguf', [BASE, BASE], /too many arguments/],
    ['no paths at all', 'lora-merge', [], /BASE, ADAPTER and OUT are wanted/],
    ['two paths', 'lora-merge', [BASE, ADAPTER], /OUT is missing/],
    ['--outfile with one path', 'lora-merge', [BASE, '-o', 'x.gguf'], /BASE and ADAPTER are wanted/],
    ['--vocab-only with --no-vocab', 'to-gguf', [BASE, '--vocab-only', '--no-vocab'], /exclude each other/],
    ['a GGUF option for a folder', 'lora-merge', [BASE, ADAPTER, 'x', '--outtype', 'f16'], /--outtype: for an OUT that ends in \.gguf/],
    ['a folder option for a GGUF', 'lora-merge', [BASE, ADAPTER, 'x.gguf', '--dtype', 'f16'], /--dtype and --max-shard-size are for folders/],
    ['an unknown command', 'lora-to-gguf', ['mergee'], /"mergee" is no command; merge, convert and inspect are/],
    ['an unknown placeholder', 'to-gguf', [BASE, '-o', 'x-{size}.gguf'], /placeholder "\{size\}"/],
    ['an unknown --pre', 'to-gguf', [BASE, '--pre', 'llama-9', '-o', 'x.gguf'], /llama-9/],
    ['a weight without end', 'lora-merge', [BASE, `${ADAPTER}@1e999`, 'x.gguf'], /a finite number is wanted/],
    ['control characters', 'to-gguf', [BASE, '--outtype', '\u001b[2Jf16\n\u202ex'], /not "\\u001b\[2Jf16\\n\\u202ex"/],
  ] as const) {
    it(`${what}: one line and exit 2`, async (t) => {
      const line = errorLine(await runCli(command, args, { cwd: workspace(t) }), 2)
      assert.match(line, pattern)
      assert.ok(line.length <= (what === 'an unknown --pre' ? 2000 : 600), `${line.length} characters`) // it lists the known ones
      // oxlint-disable-next-line no-control-regex -- none may be there
      assert.doesNotMatch(line.trimEnd(), /[\u0000-\u001f\u007f-\u009f\u202a-\u202e]/)
    })
  }

  it('keeps the error for an endless argument within 600 characters', async () => {
    const line = errorLine(await runCli('to-gguf', ['x', `--${'y'.repeat(5000)}`]), 2)
    assert.ok(line.length <= 600, `${line.length}`)
  })
})

describe('OUT that is an input', () => {
  it('is refused with exit 2 even with --force, whatever it looks like, and stays as it was', async (t) => {
    const home = workspace(t)
    cpSync(BASE, join(home, 'base'), { recursive: true })
    for (const name of ['a', 'b']) cpSync(ADAPTER, join(home, name), { recursive: true })
    cpSync(join(ADAPTER, 'adapter_model.safetensors'), join(home, 'loose.safetensors'))
    writeFileSync(join(home, 'meta.json'), '{}')
    const before = readFileSync(join(home, 'b', 'adapter_model.safetensors'))
    const cases: readonly [readonly string[], RegExp][] = [
      [['base', 'a', 'b'], /OUT is missing: b, the last path, is an adapter/],
      [['base', 'a', 'b@0.7'], /OUT is missing: b@0\.7/],
      [['base', 'a', 'b/'], /OUT is missing/],
      [['base', 'a', join('b', 'adapter_model.safetensors')], /OUT is missing/],
      [['base', 'a', 'loose.safetensors'], /OUT is missing/],
      [['base', 'a', 'base'], /the output is an input/],
      [['base', 'a', './base/'], /the output is an input/],
      [['base', 'a', join('base', 'model-00001-of-00002.safetensors')], /the output is an input/],
      [['base', 'a', '-o', 'a'], /OUT is missing/],
      [['base', 'a', 'new', '--receipt', join('base', 'README.md')], /the output is an input/],
      [['base', 'a', 'new.gguf', '--receipt', join('base', 'config.json')], /the output is an input/],
      [['base', 'a', 'new.gguf', '--metadata', 'meta.json', '--receipt', 'meta.json'], /the output is an input/],
    ]
    const results = await Promise.all(cases.map(([args]) => runCli('lora-merge', [...args, '--force'], { cwd: home })))
    results.forEach((result, i) => assert.match(errorLine(result, 2), cases[i]?.[1] ?? /^$/, cases[i]?.[0].join(' ')))
    assert.deepEqual(readFileSync(join(home, 'b', 'adapter_model.safetensors')), before)
    assert.ok(!existsSync(join(home, 'new.gguf')) && !existsSync(join(home, 'new')) && !existsSync(join(home, 'b@0.7')))
  })
})

describe('adapters as they are named', () => {
  it('merges folders with @ in their names, and takes an existing dir@2 for what it says', async (t) => {
    const home = workspace(t)
    mkdirSync(join(home, 'me@home'))
    cpSync(ADAPTER, join(home, 'dir@2'), { recursive: true })
    copyWithAlpha4(join(home, 'me@home', 'a')) // the same adapter twice would be one, with the weights added
    const { stdout } = await runCliOk('lora-merge', [BASE, 'dir@2', 'me@home/a@-0.5', 'out', '--dry-run', '--json'], { cwd: home })
    const { adapters } = JSON.parse(stdout) as { adapters: { label: string; weight: number }[] }
    assert.deepEqual(adapters.map(({ label, weight }) => `${label} ${weight}`).sort(byText), ['dir@2 1', 'me@home/a -0.5'].sort(byText))
  })

  it('to-gguf takes --adapter several times', async (t) => {
    const home = workspace(t)
    copyWithAlpha4(join(home, 'second'))
    const { stdout } = await runCliOk('to-gguf', [BASE, '--adapter', `${ADAPTER}@0.5`, '--adapter=second', '--dry-run', '--json'], { cwd: home })
    const { adapters, tensors } = JSON.parse(stdout) as { adapters: { weight: number }[]; tensors: { name: string; adapters: { scale: number }[] }[] }
    assert.deepEqual(
      adapters.map(({ weight }) => weight).sort((a, b) => a - b),
      [0.5, 1],
    )
    const scales = tensors.find(({ name }) => name === 'blk.0.attn_q.weight')?.adapters.map(({ scale }) => scale) ?? []
    assert.deepEqual(
      scales.sort((a, b) => a - b),
      [0.5, 1],
    ) // 4/8 · 1 and 16/8 · 0.5
  })
})

function copyWithAlpha4(folder: string): void {
  cpSync(ADAPTER, folder, { recursive: true })
  const config = readFileSync(join(ADAPTER, 'adapter_config.json'), 'utf8')
  writeFileSync(join(folder, 'adapter_config.json'), config.replace(/"lora_alpha":\s*\d+/, '"lora_alpha": 4'))
}
