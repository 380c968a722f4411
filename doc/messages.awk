# Makes agentd-messages(7) from the message table common/msg.def.
# SPDX-License-Identifier: ISC
# usage: awk -f messages.awk msg.def > agentd-messages.7

function trim(s) {
	gsub(/[ \t\n]+/, " ", s)
	sub(/^ /, "", s)
	sub(/ $/, "", s)
	return s
}

# Lines of at most 72 bytes; a sentence begins a line.
function fold(s,    n, word, i, out, len) {
	n = split(s, word, " ")
	for (i = 1; i <= n; i++) {
		if (i > 1 && (len + length(word[i]) > 70 ||
		    word[i - 1] ~ /[.!?]$/)) {
			out = out "\n" plain(word[i])
			len = 0
		} else if (i > 1) {
			out = out " " word[i]
			len++
		} else {
			out = word[i]
		}
		len += length(word[i])
	}
	return out
}

# Text that roff must not take for a request or an escape.
function plain(s) {
	gsub(/\\/, "\\e", s)
	sub(/^[.']/, "\\\\\\&&", s)
	return s
}

# Without the marks of a comment.
function bare(s) {
	gsub(/\/\*|\*\//, " ", s)
	gsub(/\n[ \t]*\*/, " ", s)
	return trim(s)
}

# P_KEEPER | P_PROXY becomes "keeper, proxy".
function procs(s,    n, part, i, out) {
	if (s ~ /P_WORKERS/)
		return "every worker"
	n = split(s, part, /\|/)
	for (i = 1; i <= n; i++) {
		part[i] = tolower(trim(part[i]))
		sub(/^p_/, "", part[i])
		if (part[i] == "super")
			part[i] = "supervisor"
		out = out (i > 1 ? ", " : "") part[i]
	}
	return out
}

function flags(s,    out) {
	if (s ~ /M_REQ/)
		out = out "Waits for an answer.\n"
	if (s ~ /M_ONE/)
		out = out "Waits for an answer of one frame.\n"
	if (s ~ /M_REP/)
		out = out "Is an answer.\n"
	if (s ~ /M_FDOPT/)
		out = out "May carry a descriptor.\n"
	else if (s ~ /M_FD/)
		out = out "Carries a descriptor.\n"
	if (s ~ /M_SECRET/)
		out = out "Is wiped after use.\n"
	return out
}

function kind(name, max) {
	if (name == "F_STR")
		return "text, at most " max " bytes"
	if (name == "F_BYTES")
		return "at most " max " bytes"
	if (name == "F_U32")
		return "32 bits"
	if (name == "F_F64")
		return "seconds"
	return name == "F_I64" ? "64 bits, signed" : "64 bits"
}

function open_list() {
	if (!listing)
		messages = messages ".Bl -tag -width Ds\n"
	listing = 1
}

function close_list() {
	if (listing)
		messages = messages ".El\n"
	listing = 0
}

function add_message(text,    part) {
	sub(/^MSG\(/, "", text)
	sub(/\)[ \t\n]*$/, "", text)
	split(text, part, ",")
	open_list()
	messages = messages ".It Ic " trim(part[1]) "\n"
	messages = messages "From " procs(part[2]) " to " procs(part[3]) ".\n"
	if (trim(part[4]) != "none")
		messages = messages "Payload\n.Vt " trim(part[4]) " .\n"
	messages = messages flags(part[5])
	if (note != "")
		messages = messages fold(plain("Note: " note ".")) "\n"
	note = ""
}

# One PAYLOAD(...): its fields, each with the comment behind it.
function add_payload(text,    name, field, args, max, rest, why) {
	sub(/^PAYLOAD\(/, "", text)
	name = text
	sub(/,.*/, "", name)
	sub(/^[^,]*,/, "", text)
	if (name == "none")
		return
	payloads = payloads ".It Vt " name "\n"
	if (text !~ /F_[A-Z0-9]+\(/)
		return
	payloads = payloads ".Bl -bullet -compact\n"
	while (match(text, /F_[A-Z0-9]+\([^)]*\)/)) {
		field = substr(text, RSTART, RLENGTH)
		text = substr(text, RSTART + RLENGTH)
		rest = text
		why = ""
		# The comment of this line, or the one that goes on below.
		if (match(rest, /^\)*[ \t]*\/\*/)) {
			why = substr(rest, RSTART)
			sub(/\*\/.*/, "", why)
			why = bare(why)
			sub(/^\)+ */, "", why)
		}
		args = field
		sub(/^[^(]*\(/, "", args)
		sub(/\)$/, "", args)
		max = ""
		if (args ~ /,/) {
			max = trim(substr(args, index(args, ",") + 1))
			sub(/,.*/, "", args)
		}
		sub(/\(.*/, "", field)
		payloads = payloads ".It\n" plain(args) ": " \
		    fold(kind(field, max) \
		    (why == "" ? "" : " (" why ")")) "\n"
	}
	payloads = payloads ".El\n"
}

BEGIN { blank = 1; messages = ""; payloads = "" }

# A statement goes on until its parentheses are closed.
collecting != "" {
	buffer = buffer "\n" $0
}
collecting == "" && /^(MSG|PAYLOAD)\(/ {
	collecting = $0 ~ /^MSG/ ? "message" : "payload"
	buffer = $0
}
collecting != "" {
	code = buffer
	gsub(/\/\*([^*]|\*[^\/])*\*\//, "", code)
	opened = gsub(/\(/, "(", code)
	closed = gsub(/\)/, ")", code)
	if (opened == closed) {
		if (collecting == "message") {
			sub(/\/\*.*/, "", buffer)
			add_message(buffer)
		} else {
			add_payload(buffer)
		}
		collecting = ""
	}
	blank = 0
	next
}

# Comments: after an empty line a heading, else about the next message.
in_comment || /^\/\*/ {
	comment = in_comment ? comment "\n" $0 : $0
	in_comment = $0 !~ /\*\//
	if (in_comment || comment ~ /----|name[ \t]+from/ || comment ~ /SPDX/)
		next
	if (blank && comment !~ /\n/ && seen_messages) {
		close_list()
		heading = bare(comment)
		messages = messages ".Ss " toupper(substr(heading, 1, 1)) \
		    substr(heading, 2) "\n"
	} else if (seen_messages) {
		note = bare(comment)
		sub(/\.$/, "", note)
	}
	blank = 0
	next
}
{ blank = $0 ~ /^[ \t]*$/ }

# The list of messages follows the last payload.
/^$/ && payloads != "" { seen_messages = 1 }

END {
	close_list()
	print ".\\\" SPDX-License-Identifier: ISC"
	print ".\\\" Made from common/msg.def by doc/messages.awk."
	print ".Dd November 22, 2026"
	print ".Dt AGENTD-MESSAGES 7"
	print ".Os"
	print ".Sh NAME"
	print ".Nm agentd-messages"
	print ".Nd what the processes of agentd say to each other"
	print ".Sh DESCRIPTION"
	print "The processes of"
	print ".Xr agentd 8"
	print "talk over socket pairs that the supervisor hands out, by the"
	print "messages below and no others."
	print "A pair of processes for which no row is given shares no socket."
	print "A process that sends what it may not send is killed and started"
	print "again."
	print ".Pp"
	print "A frame is a header of 16 bytes (length of the payload, type,"
	print "flags, request number) and the payload, all in the machine's own"
	print "byte order."
	print "An answer carries the number of its request; all but the last"
	print "answer to a request are marked."
	print "A text is its length in 32 bits, its bytes and a NUL."
	print "The program's digest of this table is checked when a worker"
	print "starts, so programs of two builds never talk."
	print ".Sh MESSAGES"
	printf "%s", messages
	print ".Sh PAYLOADS"
	print ".Bl -tag -width Ds"
	printf "%s", payloads
	print ".El"
	print ".Sh SEE ALSO"
	print ".Xr agentd 8"
}
