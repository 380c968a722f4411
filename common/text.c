/*
 * Text of people that is shown to others: what may be in it.
 *
 * SPDX-License-Identifier: ISC
 *
 * Runs in: every process.  Talks to: nobody.
 */
#include <string.h>

#include "text.h"

#define JOINER_NON	0x200c
#define JOINER		0x200d

size_t
text_char(const char *text, size_t len, uint32_t *cp)
{
	static const uint32_t	 least[] = { 0, 0, 0x80, 0x800, 0x10000 };
	const unsigned char	*s = (const unsigned char *)text;
	size_t			 n, i;

	if (len == 0)
		return 0;
	if (s[0] < 0x80) {
		*cp = s[0];
		return 1;
	}
	n = s[0] >= 0xf0 && s[0] < 0xf5 ? 4 : s[0] >= 0xe0 && s[0] < 0xf0 ?
	    3 : s[0] >= 0xc2 && s[0] < 0xe0 ? 2 : 0;
	if (n == 0 || n > len)
		return 0;
	*cp = s[0] & (0xffU >> (n + 1));
	for (i = 1; i < n; i++) {
		if ((s[i] & 0xc0) != 0x80)
			return 0;
		*cp = *cp << 6 | (s[i] & 0x3fU);
	}
	if (*cp < least[n] || *cp > 0x10ffff ||
	    (*cp >= 0xd800 && *cp < 0xe000))
		return 0;
	return n;
}

bool
text_is_safe(uint32_t cp)
{
	return !(cp < 0x20 || (cp >= 0x7f && cp < 0xa0) || cp == 0x61c ||
	    (cp >= 0x200b && cp <= 0x200f) || (cp >= 0x2028 && cp <= 0x202e) ||
	    (cp >= 0x2060 && cp <= 0x206f) || cp == 0xfeff);
}

bool
text_is_plain(const char *s, bool lines)
{
	size_t		 n, len = strlen(s);
	uint32_t	 cp;

	for (; len > 0; s += n, len -= n) {
		if ((n = text_char(s, len, &cp)) == 0)
			return false;
		if (!text_is_safe(cp) && cp != JOINER && cp != JOINER_NON &&
		    !(lines && cp == '\n'))
			return false;
	}
	return true;
}

void
text_clean(char *s)
{
	size_t		 n, len = strlen(s);
	uint32_t	 cp;
	char		*out = s;

	for (; len > 0; s += n, len -= n) {
		n = text_char(s, len, &cp);
		if (n > 0 && text_is_safe(cp)) {
			memmove(out, s, n);
			out += n;
			continue;
		}
		*out++ = '?';
		if (n == 0)
			n = 1;
	}
	*out = '\0';
}
