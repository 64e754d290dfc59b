// Turns the text of option values into numbers and lists; what cannot be read is a usage error that says what was expected.
import { InvalidArgumentError } from "commander";
import type { BlendProbabilities } from "../blend/policy.js";
import { PRESETS } from "../model/config.js";

/** Commander names the option and the value that came. */
function refuse(expected: string): never {
  throw new InvalidArgumentError(`Expected ${expected}.`);
}

/** `Number` takes "" for 0 and "0x10" for 16; options take plain decimal numbers. */
function decimal(text: string): number {
  return /^[-+]?(\d+\.?\d*|\.\d+)(e[-+]?\d+)?$/i.test(text.trim()) ? Number(text) : Number.NaN;
}

export function positiveInteger(text: string): number {
  const value = decimal(text);
  return Number.isSafeInteger(value) && value > 0 ? value : refuse("a positive integer");
}

export function wholeNumber(text: string): number {
  const value = decimal(text);
  return Number.isSafeInteger(value) && value >= 0 ? value : refuse("0 or a positive integer");
}

export function integer(text: string): number {
  const value = decimal(text);
  return Number.isSafeInteger(value) ? value : refuse("an integer");
}

export function positiveNumber(text: string): number {
  const value = decimal(text);
  return Number.isFinite(value) && value > 0 ? value : refuse("a positive number");
}

export function nonNegativeNumber(text: string): number {
  const value = decimal(text);
  return Number.isFinite(value) && value >= 0 ? value : refuse("0 or a positive number");
}

/** [0, 1) */
export function shareBelowOne(text: string): number {
  const value = decimal(text);
  return value >= 0 && value < 1 ? value : refuse("a number of at least 0 and below 1");
}

/** (0, 1) */
export function properShare(text: string): number {
  const value = decimal(text);
  return value > 0 && value < 1 ? value : refuse("a number between 0 and 1");
}

/** `0.2,0.2,0.6` for path length, edges and geometry. */
export function blendProbabilities(text: string): BlendProbabilities {
  const values = text.split(",").map(decimal);
  const sum = values.reduce((total, value) => total + value, 0);
  if (values.length !== 3 || !values.every((value) => value >= 0) || Math.abs(sum - 1) > 1e-9) {
    refuse("three probabilities SPD,EDGE,GEOMETRY that sum to 1, such as 0.2,0.2,0.6");
  }
  return { spd: values[0], edge: values[1], geometry: values[2] };
}

/** Names between commas; an option given twice adds to the list. */
export function nameList(text: string, before: readonly string[] = []): readonly string[] {
  const names = text
    .split(",")
    .map((name) => name.trim())
    .filter(Boolean);
  return names.length > 0 ? [...before, ...names] : refuse("names between commas");
}

/** Whole numbers between commas. */
export function seedList(text: string): readonly number[] {
  return nameList(text).map(wholeNumber);
}

export function presetList(text: string): readonly string[] {
  const names = nameList(text);
  return names.every((name) => Object.hasOwn(PRESETS, name))
    ? names
    : refuse(`some of ${Object.keys(PRESETS).join(", ")} between commas`);
}

/** Only what was given, so that nothing overrides a default. */
export function given<T extends object>(values: T): { [K in keyof T]?: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined)) as {
    [K in keyof T]?: Exclude<T[K], undefined>;
  };
}
