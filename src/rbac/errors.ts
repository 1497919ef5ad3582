import { AppError } from '../platform/errors.ts';

export function roleNotFound(name: string): AppError {
  return new AppError('role_not_found', 404, `There is no role “${name}”.`);
}
