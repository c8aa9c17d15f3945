/* The texts are prompts: they say what a model needs to call each tool well, in the words of executor/tools. Limits
 * named here are those of the tools; change both together. */
#include "data/tool_schemas.h"

static const struct {
    const char *name, *json;
} table[] = {
    {"Read",
     "{\"name\":\"Read\",\"description\":\"Reads a text file of the workspace. Lines come with their numbers (number, "
     "tab, "
     "text). Reads up to 2000 lines from the beginning unless offset and limit say otherwise; a note at the end says "
     "when there is more. Lines longer than 2000 characters are cut. Directories and binary files cannot be "
     "read.\",\"input_schema\":{\"type\":\"object\",\"properties\":{\"file_path\":{\"type\":\"string\","
     "\"description\":\"Path of the file, relative to the working directory or absolute inside the workspace\"},"
     "\"offset\":{\"type\":\"integer\",\"description\":\"Line to start at, from 1\"},\"limit\":{\"type\":\"integer\","
     "\"description\":\"Number of lines to read\"}},\"required\":[\"file_path\"],\"additionalProperties\":false}}"},
    {"Write",
     "{\"name\":\"Write\",\"description\":\"Writes a file of the workspace, replacing it if it exists and making "
     "missing "
     "directories. Read an existing file before you overwrite it; prefer Edit for changing a "
     "part.\",\"input_schema\":{\"type\":\"object\",\"properties\":{\"file_path\":{\"type\":\"string\","
     "\"description\":\"Path of the file, relative to the working directory or absolute inside the workspace\"},"
     "\"content\":{\"type\":\"string\",\"description\":\"The whole new content\"}},\"required\":[\"file_path\","
     "\"content\"],\"additionalProperties\":false}}"},
    {"Edit",
     "{\"name\":\"Edit\",\"description\":\"Replaces a text in a file by another. old_string must match exactly, white "
     "space included and without the line numbers that Read shows, and must occur only once unless replace_all is "
     "set.\",\"input_schema\":{\"type\":\"object\",\"properties\":{\"file_path\":{\"type\":\"string\",\"description\":"
     "\"Path of the file, relative to the working directory or absolute inside the workspace\"},\"old_string\":{"
     "\"type\":\"string\",\"description\":\"The text to replace\"},\"new_string\":{\"type\":\"string\",\"description\":"
     "\"The text to put in its place\"},\"replace_all\":{\"type\":\"boolean\",\"description\":\"Replace every "
     "occurrence (default false)\"}},\"required\":[\"file_path\",\"old_string\",\"new_string\"],"
     "\"additionalProperties\":false}}"},
    {"Bash",
     "{\"name\":\"Bash\",\"description\":\"Runs a shell command (/bin/sh) in the working directory and returns its "
     "standard output and standard error. Each call is a new shell: directories and variables are not kept, and "
     "processes left in the background are ended with the command. There is no terminal and no input. Of long output "
     "the beginning and the end are kept. Use Read, Glob and Grep rather than cat, find and "
     "grep.\",\"input_schema\":{\"type\":\"object\",\"properties\":{\"command\":{\"type\":\"string\",\"description\":"
     "\"The command to run\"},\"timeout\":{\"type\":\"integer\",\"description\":\"Milliseconds after which it is ended "
     "(default 120000, at most 600000)\"},\"description\":{\"type\":\"string\",\"description\":\"What the command "
     "does, "
     "in a few words\"}},\"required\":[\"command\"],\"additionalProperties\":false}}"},
    {"Glob",
     "{\"name\":\"Glob\",\"description\":\"Finds files by a pattern of their path, such as **/*.c or "
     "src/{lib,bin}/*.py. "
     "The most recently changed files come first. Files in .git are not "
     "found.\",\"input_schema\":{\"type\":\"object\",\"properties\":{\"pattern\":{\"type\":\"string\",\"description\":"
     "\"The pattern; * stays within one directory, ** spans any number of them\"},\"path\":{\"type\":\"string\","
     "\"description\":\"Directory to search in (default: the working directory)\"}},\"required\":[\"pattern\"],"
     "\"additionalProperties\":false}}"},
    {"Grep",
     "{\"name\":\"Grep\",\"description\":\"Searches the lines of files for a regular expression (Perl syntax). Binary "
     "files and .git are skipped.\",\"input_schema\":{\"type\":\"object\",\"properties\":{\"pattern\":{\"type\":"
     "\"string\",\"description\":\"The regular expression; it is matched within single lines\"},\"path\":{\"type\":"
     "\"string\",\"description\":\"File or directory to search in (default: the working directory)\"},\"glob\":{"
     "\"type\":\"string\",\"description\":\"Only files that match this pattern, such as *.c or src/**/*.{ts,tsx}\"},"
     "\"output_mode\":{\"type\":\"string\",\"enum\":[\"content\",\"files_with_matches\",\"count\"],\"description\":"
     "\"content shows matching lines, files_with_matches (default) only the paths, count the number of lines in each "
     "file\"},\"-i\":{\"type\":\"boolean\",\"description\":\"Ignore case\"},\"-n\":{\"type\":\"boolean\","
     "\"description\":\"Show line numbers (default true; content only)\"},\"-A\":{\"type\":\"integer\",\"description\":"
     "\"Lines to show after each match (content only)\"},\"-B\":{\"type\":\"integer\",\"description\":\"Lines to show "
     "before each match (content only)\"},\"-C\":{\"type\":\"integer\",\"description\":\"Lines to show before and "
     "after "
     "each match (content only)\"},\"head_limit\":{\"type\":\"integer\",\"description\":\"At most this many lines of "
     "output (default 250, 0 for no limit)\"}},\"required\":[\"pattern\"],\"additionalProperties\":false}}"},
};

struct str tool_schemas_get(struct str name)
{
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        if (str_is(name, table[i].name))
            return str_c(table[i].json);
    return str_n("", 0);
}

struct str tool_schemas_at(unsigned i)
{
    return i < sizeof table / sizeof *table ? str_c(table[i].json) : str_n("", 0);
}
