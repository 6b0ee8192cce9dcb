// A form from the JSON schema of a tool's parameters. Pure.

import type { Parameter, Tool } from "./types";

export interface Field {
  name: string;
  label: string;
  description: string;
  kind: "number" | "integer" | "boolean" | "choice" | "text";
  required: boolean;
  schema: Parameter;
}

export function fields(parameters: Tool["parameters"]): Field[] {
  return Object.entries(parameters.properties ?? {}).map(([name, schema]) => ({
    name,
    label: schema.title ?? label(name),
    description: schema.description ?? "",
    kind: kindOf(schema),
    required: schema.default === undefined || (parameters.required ?? []).includes(name),
    schema,
  }));
}

function kindOf(schema: Parameter): Field["kind"] {
  if (schema.enum) return "choice";
  if (schema.type === "number" || schema.type === "integer" || schema.type === "boolean") return schema.type;
  return "text";
}

function label(name: string): string {
  const spaced = name.replaceAll("_", " ").replaceAll("-", " ");
  return spaced.charAt(0).toUpperCase() + spaced.slice(1);
}

/** What stands in the form at first: text, as people edit it; a boolean for a box to tick. */
export function initial(all: Field[]): Record<string, string | boolean> {
  return Object.fromEntries(
    all.map(({ name, kind, schema }) => {
      if (kind === "boolean") return [name, schema.default === true];
      return [name, schema.default === undefined ? "" : String(schema.default)];
    }),
  );
}

/** What is wrong with a field's text; empty when nothing is. */
export function complaint(field: Field, text: string | boolean): string {
  if (typeof text === "boolean") return "";
  const { schema, kind } = field;
  if (text.trim() === "") return field.required ? "Please fill this in." : "";
  if (kind === "number" || kind === "integer") {
    const value = Number(text);
    if (!Number.isFinite(value)) return "This must be a number.";
    if (kind === "integer" && !Number.isInteger(value)) return "This must be a whole number.";
    if (schema.minimum !== undefined && value < schema.minimum) return `At least ${schema.minimum}.`;
    if (schema.maximum !== undefined && value > schema.maximum) return `At most ${schema.maximum}.`;
    if (schema.exclusiveMinimum !== undefined && value <= schema.exclusiveMinimum)
      return `More than ${schema.exclusiveMinimum}.`;
    if (schema.exclusiveMaximum !== undefined && value >= schema.exclusiveMaximum)
      return `Less than ${schema.exclusiveMaximum}.`;
  }
  if (kind === "text") {
    if (schema.minLength !== undefined && text.length < schema.minLength) return `At least ${schema.minLength} letters.`;
    if (schema.maxLength !== undefined && text.length > schema.maxLength) return `At most ${schema.maxLength} letters.`;
    if (schema.pattern !== undefined && !new RegExp(schema.pattern, "u").test(text))
      return `This must look like ${schema.pattern}`;
  }
  return "";
}

/** The parameters to send: typed as the schema says; what is empty is left to its default. */
export function values(all: Field[], form: Record<string, string | boolean>): Record<string, unknown> {
  const sent: Record<string, unknown> = {};
  for (const { name, kind, schema } of all) {
    const text = form[name];
    if (typeof text === "boolean") sent[name] = text;
    else if (text === undefined || text.trim() === "") continue;
    else if (kind === "number" || kind === "integer") sent[name] = Number(text);
    else if (kind === "choice") sent[name] = schema.enum?.find((choice) => String(choice) === text);
    else sent[name] = text;
  }
  return sent;
}
