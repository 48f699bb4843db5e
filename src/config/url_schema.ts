/**
 * A URL in the place of an object: parsed, then checked by the object's own schema.
 *
 * @module
 */
import { z } from "zod";
import { explain, flatten } from "./issues.ts";
import { optionAt, type Options } from "./url_options.ts";
import { refuse, report } from "./values.ts";

/** A string that stands for an object; what is wrong with the object is said in the words of the URL. */
export function urlSchema<S extends z.ZodType>(
  object: S,
  parse: (text: string) => unknown,
  options: Options,
) {
  return z.string().transform(async (text, ctx): Promise<z.output<S>> => {
    try {
      const { data, error } = await object.safeParseAsync(parse(text), { error: explain });
      if (error === undefined) return data;
      for (const { path, message } of flatten(error.issues)) {
        const option = optionAt(path, options);
        report(ctx, option === "" ? message : `${option}: ${message}`);
      }
      return z.NEVER;
    } catch (error) {
      return refuse(ctx, error);
    }
  });
}
