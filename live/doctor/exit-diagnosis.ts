import { constants } from 'node:os';

/** How a process or a container ended, as far as it is known. */
export interface Exit {
  code: number | null;
  signal?: string | null;
  /** the kernel ended it because its memory limit was reached */
  outOfMemory?: boolean;
  /** the last lines of what it wrote */
  words?: string;
}

export interface ExitDiagnosis {
  /** one clause: the code or signal and what it means */
  cause: string;
  /** what to do, '' where nothing is wrong or nothing can be said */
  advice: string;
}

interface Meaning {
  means: string;
  advice: string;
}

const NATIVE =
  'Look for an extension module or native library in its last words; try another version of it.';

/** Codes as shells and engines give them: 128 and the signal's number for a signal. */
const MEANINGS: Readonly<Record<number, Meaning>> = {
  0: { means: 'ended by itself', advice: '' },
  125: {
    means: 'the engine could not start it',
    advice: "Read the engine's own message; an option such as a mount or a device is wrong.",
  },
  126: {
    means: 'its program is there but cannot be run',
    advice: "Use an image for this machine's processor, whose python3 the kernel's user may run.",
  },
  127: {
    means: 'its program, or the interpreter or C library that the program needs, is missing',
    advice:
      'Use an image with Python and ipykernel; a Python built for glibc does not run on musl (Alpine).',
  },
  132: {
    means: 'stopped by an instruction that this processor does not have',
    advice: 'A library was built for a newer processor: install another build of it.',
  },
  134: { means: 'aborted by a failed check in native code', advice: NATIVE },
  135: {
    means: 'crashed by memory that could not be had, most often a full /dev/shm',
    advice: 'Raise --shm-mb.',
  },
  136: { means: 'crashed by an arithmetic fault in native code', advice: NATIVE },
  137: {
    means: 'killed, most often because memory ran out',
    advice:
      'See `dmesg` for "Out of memory" or "oom-kill"; give kernels more with --memory-mb, or use less.',
  },
  139: { means: 'crashed by a bad memory access in native code', advice: NATIVE },
  143: { means: 'asked to end from outside', advice: '' },
};

const OUT_OF_MEMORY: Meaning = {
  means: 'ended because its memory limit was reached',
  advice: 'Raise --memory-mb, or work on less data at once.',
};

/** What the last words of a process say that its code does not. First fit counts. */
const TOLD: readonly (readonly [RegExp, Meaning])[] = [
  [
    /No module named '?ipykernel/,
    {
      means: 'its Python has no ipykernel',
      advice: 'Install ipykernel there: python3 -m pip install ipykernel.',
    },
  ],
  [
    /version [`']?GLIBC[A-Z]*_[\d.]+'? not found/,
    {
      means: 'a library or program in it needs a newer C library',
      advice: 'Use a newer image, or packages built for this one.',
    },
  ],
  [
    /error while loading shared libraries: \S+|cannot open shared object file/,
    {
      means: 'a shared library is missing',
      advice: 'Install the library that the last words name.',
    },
  ],
  [
    /exec format error|cannot execute binary file/i,
    {
      means: 'its program was built for another processor',
      advice: "Use an image for this machine's processor.",
    },
  ],
  [
    /executable file not found|python3?: (command )?not found/,
    {
      means: 'it has no such program',
      advice: 'Use an image with python3 and ipykernel.',
    },
  ],
  [
    /no word from its agent/,
    {
      means: 'ended itself, for its agent could not be heard',
      advice: 'Was the machine too busy, or the agent stopped? Its log tells more.',
    },
  ],
  [
    /No space left on device/,
    { means: 'a disk was full', advice: 'Free space on the disk that its last words name.' },
  ],
];

/** What ended a kernel, and what to do about it. */
export function diagnoseExit(exit: Exit): ExitDiagnosis {
  const { code, signal = null, outOfMemory = false, words = '' } = exit;
  const number = signal === null ? 0 : (constants.signals[signal as NodeJS.Signals] ?? 0);
  const value = code ?? 128 + number;
  const named = signal === null ? `exit code ${value}` : `signal ${signal}`;
  const told = value === 0 ? undefined : TOLD.find(([pattern]) => pattern.test(words))?.[1];
  const meaning = outOfMemory ? OUT_OF_MEMORY : (told ?? MEANINGS[value]);
  if (meaning === undefined)
    return { cause: named, advice: words === '' ? '' : 'Its last words tell more.' };
  return { cause: `${named}: ${meaning.means}`, advice: meaning.advice };
}

/** What agents log of each death, with `kernel` and `exit`. */
export const DEATH_LOGGED = 'a kernel process has died';

/** Joins how a process ended and what it wrote last. */
export const LAST_WORDS = '; its last words: ';

/** What to do about an end that was told in one line, as agents tell and log it. */
export function adviceFor(told: string): string {
  const [how = '', words = ''] = told.split(LAST_WORDS);
  const code = /exit code (\d+)/.exec(how)?.[1];
  const signal = /signal (SIG[A-Z0-9]+)/.exec(how)?.[1] ?? null;
  if (code === undefined && signal === null) return '';
  const outOfMemory = how.includes(OUT_OF_MEMORY.means);
  return diagnoseExit({
    code: code === undefined ? null : Number(code),
    signal,
    outOfMemory,
    words,
  }).advice;
}

/** One clause on how a process ended, with what that usually means. */
export function describeExit(code: number | null, signal: string | null): string {
  return diagnoseExit({ code, signal }).cause;
}
