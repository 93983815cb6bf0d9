"""The grammar of mapping files, for lark's LALR parser.

Keywords may be written in any case, and are field names where the grammar allows no keyword, or in back quotes.
Comments: `--`, `#` and `//` to the end of the line, `/* ... */` over several.
"""

GRAMMAR = r"""
file: _SELECT mapping ("," mapping)* ","? _FROM name where _INTO name where _BY expression (_ALIAS name)? ";"?

where: [_WHERE expression]

mapping: expression [_IF expression] [_AS name] option*

single: expression [_IF expression] [_AS name] option*

option: _SHORTDESC TEXT      -> short_description
      | _LONGDESC TEXT       -> long_description
      | _KIND kind           -> kind
      | _CAPACITY INTEGER    -> capacity
      | _KEEPDAYS INTEGER    -> keep_days
      | _MERGEOP name        -> merge_operator

kind: NAME                          -> plain_kind
    | "[" "]" NAME                  -> list_kind
    | NAME "[" NAME "]" NAME        -> map_kind

?expression: conjunction
           | conjunction (_OR conjunction)+              -> some
?conjunction: negation
            | negation (_AND negation)+                  -> all
?negation: comparison
         | _NOT negation                                -> opposite
?comparison: sum
           | sum OPERATOR sum                           -> comparison
           | sum (CONTAINS | LIKE) sum                  -> comparison
           | sum _NOT (CONTAINS | LIKE) sum             -> no_comparison
           | sum _IN list                               -> member
           | sum _INTERSECTS list                       -> member
           | sum _NOT _IN list                          -> no_member
           | sum _NOT _INTERSECTS list                  -> no_member
           | sum _BETWEEN sum _AND sum                  -> between
           | sum _NOT _BETWEEN sum _AND sum             -> not_between
           | _EXISTS primary                            -> exists
?list: "(" expression ("," expression)* ")"             -> listed
     | "[" expression ("," expression)* "]"             -> listed
     | field                                            -> listed
     | NAME "(" [expression ("," expression)*] ")"      -> call_listed

?sum: product
    | sum (PLUS | MINUS) product                        -> calculation
?product: primary
        | product (STAR | SLASH | PERCENT) primary      -> calculation

?primary: MINUS primary                                 -> negative
        | "(" expression ")"
        | _AND "(" expression ("," expression)+ ")"     -> all
        | _OR "(" expression ("," expression)+ ")"      -> some
        | _NOT_CALL expression ")"                      -> negated
        | NAME "(" [expression ("," expression)*] ")"   -> call
        | NAME "(" expression _AS NAME ")"              -> cast
        | field
        | literal

field: NAME | QUOTED
name: NAME | QUOTED | TEXT
literal: TEXT | INTEGER | FLOAT | TRUE | FALSE

_SELECT.2: /select(?![\w.])/i
_FROM.2: /from(?![\w.])/i
_INTO.2: /into(?![\w.])/i
_BY.2: /by(?![\w.])/i
_WHERE.2: /where(?![\w.])/i
_MERGEOP.2: /mergeop(?![\w.])/i
_ALIAS.2: /alias(?![\w.])/i
_IF.2: /if(?![\w.])/i
_AS.2: /as(?![\w.])/i
_SHORTDESC.2: /shortdesc(?![\w.])/i
_LONGDESC.2: /longdesc(?![\w.])/i
_KIND.2: /kind(?![\w.])/i
_CAPACITY.2: /capacity(?![\w.])/i
_KEEPDAYS.2: /keepdays(?![\w.])/i
_AND.2: /(and(?![\w.])|&&)/i
_OR.2: /(or(?![\w.])|\|\|)/i
_NOT_CALL.3: /not\(/i
_NOT.2: /(not(?![\w.])|!(?!=))/i
_IN.2: /in(?![\w.])/i
_EXISTS.2: /exists(?![\w.])/i
_INTERSECTS.2: /intersects(?![\w.])/i
_BETWEEN.2: /between(?![\w.])/i
LIKE.2: /like(?![\w.])/i
CONTAINS.2: /contains(?![\w.])/i
TRUE.2: /true(?![\w.])/i
FALSE.2: /false(?![\w.])/i

OPERATOR: "==" | "=" | "!=" | "<>" | "<=" | ">=" | "<" | ">"
PLUS: "+"
MINUS: "-"
STAR: "*"
SLASH: "/"
PERCENT: "%"
INTEGER.1: /[+-]?[0-9]{1,40}(?![\w.])/
FLOAT.1: /[+-]?(?:[0-9]{1,40}\.[0-9]{1,40}(?:[eE][+-]?[0-9]{1,3})?|[0-9]{1,40}[eE][+-]?[0-9]{1,3})(?![\w.])/
NAME: /[^\W\d]\w*(?:\.\w+)*/
QUOTED: /`(?:[^`\n]|``)+`/
TEXT: /"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.|'')*'/

COMMENT: /--[^\n]*|#[^\n]*|\/\/[^\n]*|\/\*(?:[^*]|\*(?!\/))*\*\//
SPACE: /[ \t\r\n\f\ufeff]+/
%ignore COMMENT
%ignore SPACE
"""

NAMES_OF_TOKENS = {
    "_SELECT": "SELECT",
    "_FROM": "FROM",
    "_INTO": "INTO",
    "_BY": "BY",
    "_WHERE": "WHERE",
    "_MERGEOP": "MERGEOP",
    "_ALIAS": "ALIAS",
    "_IF": "IF",
    "_AS": "AS",
    "_SHORTDESC": "SHORTDESC",
    "_LONGDESC": "LONGDESC",
    "_KIND": "KIND",
    "_CAPACITY": "CAPACITY",
    "_KEEPDAYS": "KEEPDAYS",
    "_AND": "AND",
    "_OR": "OR",
    "_NOT": "NOT",
    "_NOT_CALL": "NOT",
    "_INTERSECTS": "INTERSECTS",
    "_BETWEEN": "BETWEEN",
    "LIKE": "LIKE",
    "PLUS": '"+"',
    "MINUS": '"-"',
    "STAR": '"*"',
    "SLASH": '"/"',
    "PERCENT": '"%"',
    "_IN": "IN",
    "_EXISTS": "EXISTS",
    "CONTAINS": "CONTAINS",
    "TRUE": "true",
    "FALSE": "false",
    "OPERATOR": "a comparison (==, !=, <, <=, >, >=)",
    "INTEGER": "a whole number",
    "FLOAT": "a number",
    "NAME": "a name",
    "QUOTED": "a name in back quotes",
    "TEXT": "a text in quotes",
    "COMMA": '","',
    "LPAR": '"("',
    "RPAR": '")"',
    "LSQB": '"["',
    "RSQB": '"]"',
    "SEMICOLON": '";"',
    "$END": "the end",
}
"""How an error message calls each token."""
