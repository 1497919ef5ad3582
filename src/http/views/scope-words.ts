/** Of a person, what the scopes of OpenID Connect tell of them. */
interface Told {
  name?: string;
  username?: string;
  email: string;
  emailVerified: boolean;
}

export interface ScopeItem {
  title: string;
  details: string[];
}

/**
 * What a scope means, in the words that people read before they agree to it (OIDC Core §5.4).
 *
 * @returns undefined for a scope of an API, which has words of its own
 */
export function wordsForScope(scope: string, person: Told, roles: readonly string[]): ScopeItem | undefined {
  switch (scope) {
    case 'openid':
      return { title: 'Who you are', details: ['A number that stands for you in this app'] };
    case 'profile':
      return {
        title: 'Your profile',
        details: [person.name ?? 'Your name', ...(person.username ? [person.username] : [])],
      };
    case 'email':
      return {
        title: 'Your e-mail address',
        details: [`${person.email} (${person.emailVerified ? 'verified' : 'not verified'})`],
      };
    case 'roles':
      return { title: 'Your roles', details: [roles.length > 0 ? roles.join(', ') : 'You have none'] };
    case 'offline_access':
      return {
        title: 'Stay connected',
        details: ['Keep this access while you are away, until you withdraw it'],
      };
    default:
      return undefined;
  }
}
