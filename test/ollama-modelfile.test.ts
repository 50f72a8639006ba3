import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { ToolkitError, UnsupportedError } from '../src/core/errors.js'
import { chooseModelfileName, isModelfileFor, isOurModelfile, modelfileName, renderModelfile } from '../src/ollama/modelfile.js'
import type { Modelfile, ModelfileValue } from '../src/ollama/modelfile.js'
import { GOLDEN, SKIP_WITHOUT_GOLDEN } from './support/paths.js'

const NONE = new Map<string, ModelfileValue>()

describe('renderModelfile', () => {
  it('writes FROM, parameters in order, lists as one line each, TEMPLATE and SYSTEM as blocks', () => {
    const text = renderModelfile({
      from: 'm.gguf',
      parameters: new Map<string, ModelfileValue | readonly ModelfileValue[]>([
        ['temperature', 0.7],
        ['top_k', 40],
        ['stop', ['<|x|>', '</s>']],
      ]),
      template: '{{ .Prompt }}\n',
      system: 'Be brief.',
      license: 'MIT',
      comments: ['one', 'two\nlines'],
    })
    const [mark, ...lines] = text.split('\n')
    assert.match(mark ?? '', /^# Made by lora-to-gguf \(check [0-9a-f]{8}\)/)
    assert.deepEqual(lines, [
      '# one',
      '# two',
      '# lines',
      'FROM ./m.gguf',
      'PARAMETER temperature 0.7',
      'PARAMETER top_k 40',
      'PARAMETER stop "<|x|>"',
      'PARAMETER stop "</s>"',
      'TEMPLATE """{{ .Prompt }}',
      '"""',
      'SYSTEM """Be brief."""',
      'LICENSE """MIT"""',
      '',
    ])
  })

  it("comes back from the rules of Ollama's parser as it went in, whatever quotes, blanks and line breaks the values hold", () => {
    const texts = [
      'plain',
      'a"b',
      '"',
      '""',
      '"a"',
      "it's",
      ' lead',
      'trail ',
      'tab\there',
      'ends with "',
      '" starts',
      'ＦＵＬＬ｜▁',
      'x # y',
      'FROM /etc/passwd',
      '\\',
      '\\n',
      '{{ .X }}',
    ]
    const blocks = [
      ...texts,
      'two\nlines',
      'ends in break\n',
      '\nstarts',
      'quote at line end "\nFROM /etc/passwd',
      '""\nSYSTEM x',
      'a""\n""b',
      '\r\nwindows\r\n',
      ' \n \n',
    ]
    for (const [index, system] of blocks.entries()) {
      const model = { from: 'm.gguf', parameters: new Map([['stop', texts]]), template: blocks.at(-index) ?? 'x', system }
      const commands = parseLikeOllama(renderModelfile(model))
      assert.deepEqual(commands, [['model', './m.gguf'], ...texts.map((text) => ['stop', text]), ['template', model.template], ['system', system]])
    }
  })

  it('names the GGUF so that blanks, quotes, dots and letters of any script come back whole', () => {
    for (const from of [
      'm.gguf',
      'my model.gguf',
      ' m.gguf',
      'm.gguf ',
      'größe-模型.gguf',
      'a"b.gguf',
      '~.gguf',
      '#1.gguf',
      '-q.gguf',
      "it's.gguf",
      '..gguf',
      'FROM x.gguf',
    ]) {
      assert.deepEqual(parseLikeOllama(renderModelfile({ from, parameters: NONE })), [['model', `./${from}`]])
    }
  })

  const refused: readonly (readonly [string, Partial<Modelfile>])[] = [
    ['a line break in FROM', { from: 'm.gguf\nSYSTEM pwned' }],
    ['a carriage return in FROM', { from: 'm.gguf\rSYSTEM pwned' }],
    ['a path in FROM', { from: '../m.gguf' }],
    ['an absolute path in FROM', { from: '/etc/passwd' }],
    ['a folder in FROM', { from: './..' }],
    ['an empty FROM', { from: '' }],
    ['a no-break space in FROM, which the parser drops', { from: 'a\u00a0b.gguf' }],
    ['a direction override in FROM', { from: 'a\u202eb.gguf' }],
    ['half a surrogate pair in FROM', { from: 'a\ud800.gguf' }],
    ['a line break in a parameter', { parameters: new Map([['stop', 'a\nADAPTER /etc/passwd']]) }],
    ['a triple quote in a parameter', { parameters: new Map([['stop', 'a"""b']]) }],
    ['a NUL in a parameter', { parameters: new Map([['stop', 'a\0b']]) }],
    ['an empty stop', { parameters: new Map([['stop', '']]) }],
    ['a line break in a parameter name', { parameters: new Map([['temperature 0\nFROM /etc/passwd\nPARAMETER x', 1]]) }],
    ['a parameter named like an instruction', { parameters: new Map([['model', '/etc/passwd']]) }],
    ['a parameter named like a deprecated one', { parameters: new Map([['mirostat', 1]]) }],
    ['NaN', { parameters: new Map([['temperature', Number.NaN]]) }],
    ['Infinity', { parameters: new Map([['temperature', Number.POSITIVE_INFINITY]]) }],
    ['a fraction where a whole number is wanted', { parameters: new Map([['top_k', 1.5]]) }],
    ['a text where a number is wanted', { parameters: new Map([['temperature', '1\nFROM x']]) }],
    ['a triple quote in SYSTEM', { system: 'a """\nFROM /etc/passwd\nSYSTEM """ b' }],
    ['a triple quote in TEMPLATE', { template: '{{ .Prompt }}"""\nADAPTER /x' }],
    ['a triple quote in LICENSE', { license: '"""' }],
  ]
  for (const [what, model] of refused) {
    it(`refuses ${what}`, () => {
      assert.throws(() => renderModelfile({ from: 'm.gguf', parameters: NONE, ...model }), UnsupportedError)
    })
  }

  it('keeps comments in their lines', () => {
    const commands = parseLikeOllama(renderModelfile({ from: 'm.gguf', parameters: NONE, comments: ['a\nFROM /x', 'b\rFROM /x', 'c\r\nFROM /x', '', '"""'] }))
    assert.deepEqual(commands, [['model', './m.gguf']])
  })

  it('judges every modelfile case of the hostile corpus as its manifest does', { skip: SKIP_WITHOUT_GOLDEN }, () => {
    const folder = join(GOLDEN ?? '', 'hostile')
    const manifest = JSON.parse(readFileSync(join(folder, 'manifest.json'), 'utf8')) as {
      files: { path: string; main: string; kind?: string; expect: string }[]
    }
    const cases = manifest.files.filter(({ kind }) => kind === 'modelfile')
    assert.ok(cases.length > 0)
    for (const { path, main, expect } of cases) {
      const input = JSON.parse(readFileSync(join(folder, main), 'utf8')) as Omit<Modelfile, 'parameters'> & {
        parameters?: Record<string, ModelfileValue | ModelfileValue[]>
      }
      const model = { ...input, parameters: new Map(Object.entries(input.parameters ?? {})) }
      if (expect === 'reject') {
        assert.throws(
          () => renderModelfile(model),
          (error) => error instanceof ToolkitError && [3, 4, 5, 6].includes(error.exitCode),
          path,
        )
        continue
      }
      const wanted = [['model', input.from], ...[...model.parameters].flatMap(([name, value]) => [value].flat().map((item) => [name, String(item)]))]
      if (input.template) wanted.push(['template', input.template])
      if (input.system) wanted.push(['system', input.system])
      assert.deepEqual(parseLikeOllama(renderModelfile(model)), wanted, path)
    }
  })
})

describe('whose Modelfile it is', () => {
  const ours = renderModelfile({ from: 'my model.gguf', parameters: new Map([['top_k', 1]]), template: 'a\nb' })

  it('knows its own, also with the line ends of Windows', () => {
    assert.ok(isOurModelfile(ours))
    assert.ok(isOurModelfile(ours.replaceAll('\n', '\r\n')))
    assert.ok(isModelfileFor(ours.replaceAll('\n', '\r\n'), 'my model.gguf'))
  })

  it('takes one that a person has changed, or that others wrote, for foreign', () => {
    for (const text of [
      '',
      'FROM ./my model.gguf\n',
      '# Made by lora-to-gguf\nFROM ./x.gguf\n',
      ours.replace('top_k 1', 'top_k 2'),
      `${ours}SYSTEM hi\n`,
      `\n${ours}`,
      '# ollama modelfile auto-generated by llamafactory\n\nFROM .\n',
    ]) {
      assert.equal(isOurModelfile(text), false, text)
    }
  })

  it('takes the name Modelfile when it is free or ours for the same GGUF, else <stem>.Modelfile', () => {
    assert.equal(chooseModelfileName(undefined, 'my model.gguf'), 'Modelfile')
    assert.equal(chooseModelfileName(ours, 'my model.gguf'), 'Modelfile')
    assert.equal(chooseModelfileName(ours, 'my model-q8_0.gguf'), 'my model-q8_0.Modelfile')
    assert.equal(chooseModelfileName(ours, 'model.gguf'), 'model.Modelfile')
    assert.equal(chooseModelfileName(`${ours}# mine now\n`, 'my model.gguf'), 'my model.Modelfile')
    assert.equal(chooseModelfileName('FROM .\n', 'A.GGUF'), 'A.Modelfile')
    assert.equal(modelfileName(false, 'x'), 'Modelfile')
  })
})

/** Ollama's parser/parser.go ParseFile, state for state, for the instructions that can be written here. */
function parseLikeOllama(text: string): readonly (readonly [string, string])[] {
  const commands: [string, string][] = []
  const isNewline = (c: string): boolean => c === '\n' || c === '\r'
  const isSpace = (c: string): boolean => c === ' ' || c === '\t'
  const isPrint = (c: string): boolean => /^[\p{L}\p{M}\p{N}\p{P}\p{S} ]$/u.test(c)
  let state = 'nil' as 'nil' | 'name' | 'value' | 'parameter' | 'comment'
  let name = ''
  let buffer = ''
  for (const character of text) {
    let next: typeof state = state
    let kept = character
    if (state === 'nil' || state === 'comment') {
      kept = ''
      if (state === 'comment') next = isNewline(character) ? 'nil' : 'comment'
      else if (character === '#') next = 'comment'
      else if (!isSpace(character) && !isNewline(character)) [next, kept] = ['name', character]
    } else if (state === 'name' || state === 'parameter') {
      if (isSpace(character)) [next, kept] = ['value', '']
      else assert.match(character, state === 'name' ? /[a-zA-Z]/ : /\w/, 'command must be one of …')
    } else if (isNewline(character) || isSpace(character)) next = 'nil'

    if (next !== state) {
      if (state === 'name') {
        const lower = buffer.toLowerCase()
        assert.ok(['from', 'license', 'template', 'system', 'adapter', 'parameter', 'message'].includes(lower), `unknown command ${buffer}`)
        if (lower === 'parameter') next = 'parameter'
        name = lower === 'from' ? 'model' : lower
      } else if (state === 'parameter') name = buffer
      else if (state === 'value') {
        const value = unquote(goTrim(buffer))
        if (value === undefined || isSpace(kept)) {
          buffer += kept
          continue
        }
        commands.push([name, value])
      }
      buffer = ''
      state = next
    }
    if (kept !== '' && isPrint(kept)) buffer += kept
  }
  if (state === 'value') {
    const value = unquote(goTrim(buffer))
    assert.notEqual(value, undefined, 'unexpected EOF')
    commands.push([name, value ?? ''])
  } else assert.ok(state === 'nil' || state === 'comment', 'unexpected EOF')
  assert.ok(
    commands.some(([command]) => command === 'model'),
    'no FROM line',
  )
  return commands.filter(([command]) => command !== 'license')
}

function goTrim(text: string): string {
  return text.replace(/^[\s\u0085]+|[\s\u0085]+$/g, '')
}

function unquote(text: string): string | undefined {
  for (const mark of ['"""', '"']) {
    if (text.startsWith(mark)) return text.length >= 2 * mark.length && text.endsWith(mark) ? text.slice(mark.length, -mark.length) : undefined
  }
  return text
}
