/*
 Tells scripts and sources apart that libmagic calls plain text. The first part of a file is scanned, as UTF-8.
 A string counts once, by the first word of its name (points in scripts.py): "sure" proves a language alone,
 "strong" needs one more sign, "weak" ones prove only together. Most points win; meta.format is the format's name.
 In YARA ^ is the start of the file, so the start of a line is (^|\n). Repetitions are bounded: the files are hostile.
*/

rule powershell {
    meta: format = "code/ps1"
    strings:
        $strong_cmdlet = /\b(Invoke-(Expression|WebRequest|Command|Mimikatz|RestMethod)|New-Object|Write-(Host|Output|Verbose)|Get-(ChildItem|Content|Item|Process|WmiObject|CimInstance|Command|Date|Location)|Set-(ItemProperty|ExecutionPolicy|StrictMode|Content|Item|Location)|Start-(Process|Sleep|Job|BitsTransfer)|Add-(Type|Member)|Import-Module|ForEach-Object|Where-Object|Out-(File|Null|String)|ConvertTo-SecureString|Join-Path|Test-Path|Remove-Item)\b/ nocase
        $strong_param = /(^|\n)[ \t]{0,20}(\[CmdletBinding\(|param[ \t]?\([ \t]{0,20}\r?\n?[ \t]{0,20}\[)/ nocase
        $strong_type = /\[(System\.)?(Convert|Text\.Encoding|IO\.\w{1,40}|Net\.WebClient|Reflection\.Assembly|Runtime\.InteropServices\.\w{1,40})\]::/ nocase
        $weak_variable = /(^|\n)[ \t]{0,40}\$[A-Za-z_:]\w{0,40}[ \t]{0,9}=/
        $weak_function = /(^|\n)[ \t]{0,20}function[ \t]{1,9}\w{1,40}-\w{1,40}/ nocase
        $weak_operator = / -(eq|ne|like|notlike|match|replace|and|or|not|join|split|contains) /
        $weak_alias = /\b(iex|iwr)\b/ nocase
    condition: any of them
}

rule batch {
    meta: format = "code/batch"
    strings:
        $sure_echo = /(^|\n)[ \t]{0,20}@?echo[ \t]{1,9}off\b/ nocase
        $strong_local = /(^|\n)[ \t]{0,20}@?setlocal\b/ nocase
        $sure_self = /%~[dpnxf]{0,5}[0-9]/ nocase
        $strong_for = /\bfor[ \t]{1,9}(\/[dflr][ \t]{1,9}("[^"\n]{0,60}"[ \t]{1,9})?)?%%[a-z] in \(/ nocase
        $strong_if = /(^|\n)[ \t]{0,40}if[ \t]{1,9}(\/i[ \t]{1,9})?(not[ \t]{1,9})?(exist|errorlevel|defined)[ \t]{1,9}/ nocase
        $weak_rem = /(^|\n)[ \t]{0,20}(rem |::)/ nocase
        $weak_goto = /(^|\n)[ \t]{0,40}goto[ \t]{1,9}:?\w{1,40}/ nocase
        $weak_set = /(^|\n)[ \t]{0,40}@?set[ \t]{1,9}("|\/[ap] )?\w{1,40}=/ nocase
        $weak_variable = /%\w{1,40}%/
    condition: any of them
}

rule vbscript {
    meta: format = "code/vbs"
    strings:
        $strong_object = /\b(CreateObject|GetObject)[ \t]?\([ \t]?"(WScript|Scripting|MSXML2|Microsoft|ADODB|Shell|winmgmts|SAPI)/ nocase
        $sure_host = /\bWScript\.(CreateObject|Echo|Sleep|Quit|Arguments|Shell|ScriptFullName)/ nocase
        $strong_error = /(^|\n)[ \t]{0,40}On Error (Resume Next|GoTo )/ nocase
        $sure_option = /(^|\n)[ \t]{0,20}Option Explicit\b/ nocase
        $sure_attribute = /(^|\n)Attribute VB_(Name|Base|Creatable) = / nocase
        $weak_dim = /(^|\n)[ \t]{0,40}(Dim|ReDim)[ \t]{1,9}\w{1,40}/ nocase
        $weak_sub = /(^|\n)[ \t]{0,20}((Private|Public) )?(Sub|Function)[ \t]{1,9}\w{1,40}/ nocase
        $weak_end = /(^|\n)[ \t]{0,40}End (Sub|Function|If|With)\b/ nocase
        $weak_set = /(^|\n)[ \t]{0,40}Set \w{1,40} = /  nocase
        $weak_chr = /\bChrW?\([0-9&]{1,5}[^)\n]{0,9}\)[ \t]{0,9}&/ nocase
    condition: any of them
}

rule wsf {
    meta: format = "code/wsf"
    strings:
        $sure_job = /<(package|job)[ \t>][^\x00]{0,400}<script[ \t]{1,9}language/ nocase
    condition: any of them
}

rule hta {
    meta: format = "code/hta"
    strings:
        $sure_tag = "<hta:application" nocase
    condition: any of them
}

rule html {
    meta: format = "code/html"
    strings:
        $sure_doctype = /<!doctype[ \t]{1,9}html/ nocase
        $sure_open = /<html[ \t>]/ nocase
        $strong_body = /<(body|head)[ \t>]/ nocase
        $weak_script = /<script[ \t>]/ nocase
        $weak_tag = /<(div|iframe|table|meta|form|title|span)[ \t>]/ nocase
        $weak_close = /<\/(div|table|p|a|title|script|span)>/ nocase
    condition: any of them
}

rule php {
    meta: format = "code/php"
    strings:
        $sure_open = /<\?php[ \t\r\n]/ nocase
    condition: any of them
}

rule javascript {
    meta: format = "code/javascript"
    strings:
        $strong_strict = /(^|\n)[ \t]{0,20}["']use strict["'];?/
        $strong_closure = /\(function[ \t]{0,9}\(|\([\w, \t]{0,60}\)[ \t]?=>[ \t]?[({]/
        $strong_activex = /new[ \t]{1,9}ActiveXObject[ \t]?\(/
        $strong_dom = /\b(document\.(getElementById|createElement|querySelector|write)|window\.(location|addEventListener)|console\.log|String\.fromCharCode)\b/
        $strong_module = /\bmodule\.exports\b|(^|\n)(export[ \t]{1,9}(default|const|function|class)|import[ \t]{1,9}[\w{*][^;\n]{0,60} from ["'])/
        $strong_require = /\b(const|var|let)[ \t]{1,9}[\w{}, ]{1,80}[ \t]?=[ \t]?require\(["']/
        $weak_variable = /(^|\n)[ \t]{0,40}(var|let|const)[ \t]{1,9}[\w$]{1,40}[ \t]{0,9}=/
        $weak_function = /\bfunction[ \t]{0,9}[\w$]{0,40}[ \t]?\([\w$, \t]{0,80}\)[ \t]{0,9}\{/
        $weak_equal = / [!=]== /
        $weak_this = /\b(this|prototype)\.\w{1,40}/
    condition: any of them
}

rule python {
    meta: format = "code/python"
    strings:
        $strong_def = /(^|\n)[ \t]{0,60}(async )?def[ \t]{1,9}\w{1,60}\([^)\n]{0,200}\)?[^:\n]{0,80}:[ \t]{0,9}(\.\.\.)?(#[^\n]{0,80})?\r?\n/
        $strong_from = /(^|\n)from[ \t]{1,9}\.{0,3}[\w.]{0,80}[ \t]{1,9}import[ \t]{1,9}[\w(*]/
        $sure_main = /(^|\n)if __name__ == ["']__main__["']:/
        $strong_class = /(^|\n)class[ \t]{1,9}\w{1,60}(\([\w., =\[\]]{0,120}\))?:[ \t]{0,9}(\.\.\.)?(#[^\n]{0,80})?\r?\n/
        $strong_dunder = /(^|\n)__(all__|version__|author__|slots__)[ \t]{0,9}(:[^=\n]{0,40})?=/
        $strong_doc = /^r?"""/
        $weak_import = /(^|\n)import[ \t]{1,9}[\w., ]{1,80}(as \w{1,20})?\r?\n/
        $weak_self = /\bself\.\w{1,40}/
        $weak_block = /(^|\n)[ \t]{0,60}(if|elif|for|while|try|except|with|else)\b[^\n{};]{0,120}:\r?\n/
        $weak_comment = /(^|\n)# /
    condition: any of them
}

rule shell {
    meta: format = "code/shell"
    strings:
        $sure_shebang = /^#![ \t]?\/(usr\/)?bin\/(env )?(ba|da|k|z|a)?sh\b/
        $strong_test = /(^|\n)[ \t]{0,40}(el)?if[ \t]{1,9}(\[\[?|test) [^\n]{1,200}(\][ \t]?;|\]\][ \t]?;|;)[ \t]{0,9}then\b/
        $strong_case = /(^|\n)[ \t]{0,40}case[ \t]{1,9}["']?\$[^\n]{1,80}[ \t]in\b/
        $strong_for = /(^|\n)[ \t]{0,40}for[ \t]{1,9}\w{1,40}[ \t]in[ \t][^\n]{1,200};[ \t]?do\b/
        $weak_end = /(^|\n)[ \t]{0,40}(fi|done|esac)\b/
        $weak_export = /(^|\n)[ \t]{0,40}export[ \t]{1,9}\w{1,40}=/
        $weak_expansion = /\$\{\w{1,40}(:-|%|#|\})|\$\(/
        $weak_function = /(^|\n)\w{1,40}[ \t]?\(\)[ \t]?\{/
    condition: any of them
}

rule perl {
    meta: format = "code/perl"
    strings:
        $strong_use = /(^|\n)use[ \t]{1,9}(strict|warnings|utf8|vars|Exporter|Getopt::Long|[A-Z]\w{0,40}::\w{1,40})\b[^\n]{0,80};/
        $strong_package = /(^|\n)package[ \t]{1,9}\w{1,40}(::\w{1,40}){0,5};[^\n]{0,40}\n/
        $strong_my = /(^|\n)[ \t]{0,40}my[ \t]{1,9}[\$@%(]/
        $weak_sub = /(^|\n)sub[ \t]{1,9}\w{1,40}[ \t]{0,9}\{?/
        $weak_shift = /=[ \t]?shift;/
        $weak_match = /=~[ \t]?[ms]?\//
    condition: any of them
}

rule ruby {
    meta: format = "code/ruby"
    strings:
        $strong_require = /(^|\n)require(_relative)?[ \t]{1,9}['"][\w\/.-]{1,60}['"]/
        $strong_do = /\bdo[ \t]?\|[\w, ]{1,40}\|/
        $weak_def = /(^|\n)[ \t]{0,40}def[ \t]{1,9}(self\.)?\w{1,40}[?!]?(\([^)\n]{0,80}\))?\r?\n/
        $weak_end = /(^|\n)[ \t]{0,40}end\r?\n/
        $weak_module = /(^|\n)[ \t]{0,20}(module|class)[ \t]{1,9}[A-Z]\w{0,40}([ \t]?<[ \t]?[A-Z][\w:]{0,40})?\r?\n/
    condition: any of them
}

rule lua {
    meta: format = "code/lua"
    strings:
        $strong_local = /(^|\n)[ \t]{0,40}local[ \t]{1,9}(function[ \t]{1,9}\w{1,40}[ \t]?\(|\w{1,40}[ \t]?=[ \t]?require[ \t]?[("'])/
        $strong_then = /\b(else)?if [^\n]{1,80} then\r?\n[^\n]{1,200}\n[ \t]{0,40}end\b/
        $weak_local = /(^|\n)[ \t]{0,40}local[ \t]{1,9}\w{1,40}/
        $weak_end = /(^|\n)[ \t]{0,40}end\r?\n/
        $weak_comment = /(^|\n)[ \t]{0,20}--[ \[]/
    condition: any of them
}

rule csharp {
    meta: format = "code/csharp"
    strings:
        $strong_using = /(^|\n)using[ \t]{1,9}(static )?System(\.\w{1,40}){0,5};/
        $weak_namespace = /(^|\n)namespace[ \t]{1,9}[\w.]{1,80}[ \t\r\n]{0,9}[{;]/
        $weak_class = /\b(public|internal|private)[ \t]{1,9}(static |sealed |partial |abstract ){0,3}(class|void|string|struct|interface)\b/
    condition: any of them
}

rule java {
    meta: format = "code/java"
    strings:
        $strong_import = /(^|\n)import[ \t]{1,9}(static )?(java|javax|org|com|android)\.[\w.]{1,100}(\.\*)?;/
        $strong_package = /(^|\n)package[ \t]{1,9}[a-z_]\w{0,40}(\.[a-z_]\w{0,40}){1,8};[ \t]{0,9}\r?\n/
        $weak_class = /\b(public|private|protected)[ \t]{1,9}(static |final |abstract ){0,3}(class|void|interface|enum|String|int)\b/
        $weak_override = "@Override"
    condition: any of them
}

rule go {
    meta: format = "code/go"
    strings:
        $strong_package = /(^|\n)package[ \t]{1,9}\w{1,40}[ \t]{0,9}\r?\n/
        $strong_func = /(^|\n)func[ \t]{1,9}(\([^)\n]{1,60}\)[ \t]{0,9})?\w{1,40}\([^\n]{0,200}\{\r?\n/
        $weak_assign = /\w :=/
        $weak_import = /(^|\n)import[ \t]{1,9}[("]/
    condition: any of them
}

rule rust {
    meta: format = "code/rust"
    strings:
        $strong_use = /(^|\n)[ \t]{0,40}(pub )?use[ \t]{1,9}(std|crate|super|self|core|alloc)::[\w:{}*, ]{1,120}/
        $strong_fn = /(^|\n)[ \t]{0,40}(pub(\(crate\))? )?(async |unsafe |const ){0,2}fn[ \t]{1,9}\w{1,60}(<[^>\n]{1,80}>)?\([^)\n]{0,200}\)( ->[^{\n]{1,80})?[ \t]?\{/
        $sure_attribute = /(^|\n)[ \t]{0,40}#!?\[(derive|cfg|allow|test|inline|repr|deny)\b/
        $weak_let = /(^|\n)[ \t]{0,60}let[ \t]{1,9}(mut )?\w{1,40}/
        $weak_impl = /(^|\n)[ \t]{0,20}(impl|pub (struct|enum|trait|mod))\b/
    condition: any of them
}

rule css {
    meta: format = "code/css"
    strings:
        $strong_rule = /(^|\n)[ \t]{0,20}([.#]?[a-z][\w:,> .#-]{0,80}|\*)[ \t]{0,9}\{[ \t\r\n]{0,40}[a-z-]{3,40}[ \t]?:[ \t]?[^;{}\n]{1,100};/
        $weak_unit = /:[ \t]?[0-9.]{1,6}(px|em|rem|%)[ ;]/
        $weak_media = /(^|\n)@(media|import|font-face|charset)\b/
    condition: any of them
}

rule sql {
    meta: format = "code/sql"
    strings:
        $strong_create = /(^|\n)[ \t]{0,20}create[ \t]{1,9}(or replace )?(temporary )?(table|view|index|trigger|database)[ \t]{1,9}[^\n]{1,80}/ nocase
        $strong_insert = /(^|\n)[ \t]{0,20}insert[ \t]{1,9}into[ \t]{1,9}[^\n]{1,80}(values|select|\()/ nocase
        $weak_select = /(^|\n)[ \t]{0,20}select[ \t]{1,9}[^\n]{1,80}/ nocase
        $weak_drop = /(^|\n)[ \t]{0,20}(drop|alter)[ \t]{1,9}table\b/ nocase
    condition: any of them
}

rule ini {
    meta: format = "code/ini"
    strings:
        $sure_section = /(^|\n)\[[\w .:\/-]{1,60}\][ \t]{0,9}\r?\n[ \t]{0,9}[\w .-]{1,60}[ \t]?=/
    condition: any of them
}

rule json {
    meta: format = "text/json"
    strings:
        $sure_object = /^[ \t\r\n]{0,40}\{[ \t\r\n]{0,80}"[^"\n]{1,80}"[ \t]?:[ \t\r\n]{0,40}["\[{0-9tfn-]/
    condition: any of them
}

rule xml {
    meta: format = "code/xml"
    strings:
        $sure_declaration = /^(\xef\xbb\xbf)?[ \t\r\n]{0,40}<\?xml[ \t]/
    condition: any of them
}
