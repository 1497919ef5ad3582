/**
 * The commonest passwords of public breaches, folded. The long ones are refused as they are; the short ones because
 * password.ts also looks at what remains of a repetition ("passwordpassword") and without punctuation ("Pass-word-1…").
 */
export const COMMON_PASSWORDS: ReadonlySet<string> = new Set(
  `
123456 password 12345678 qwerty 123456789 12345 1234 111111 1234567 dragon 123123 baseball abc123
football monkey letmein shadow master 666666 qwertyuiop 123321 mustang 1234567890 michael 654321
superman 1qaz2wsx 7777777 121212 000000 qazwsx 123qwe killer trustno1 jordan jennifer zxcvbnm asdfgh
hunter buster soccer harley batman andrew tigger sunshine iloveyou 2000 charlie robert thomas hockey
ranger daniel starwars klaster 112233 george computer michelle jessica pepper 1111 zxcvbn 555555
11111111 131313 freedom 777777 pass maggie 159753 aaaaaa ginger princess joshua cheese amanda summer
love ashley nicole chelsea matthew access yankees 987654321 dallas austin thunder taylor matrix
welcome login admin administrator root passw0rd p@ssw0rd secret changeme default guest test testing
user qwerty123 1q2w3e4r 1q2w3e4r5t qwe123 asdfghjkl football1 password1 password12 password123
welcome1 welcome123 admin123 letmein1 hello hello123 flower lovely loveme whatever donald bailey
gatehouse passwort hallo schatz berlin motdepasse azerty azertyuiop bonjour soleil contraseña hola
estrella senha brasil haslo 1234qwer qwer1234 asdf asdf1234 zaq12wsx zaq1zaq1 pokemon naruto
minecraft samsung google facebook internet
123456789012 1234567890123 12345678901234 123456789012345 1234567890123456 0123456789ab 012345678910
123456789123 123456789101112 987654321012 098765432109 qwertyuiop12 qwertyuiop123 qwertyuiop1234
qwertyuiopas qwertyuiopasdf qwertyuiopasdfgh qwertyuiopasdfghjkl qwertyuiopasdfghjklzxcvbnm
qwerty123456 qwerty1234567 qwerty12345678 qwerty123456789 qwerty1234567890 1qaz2wsx3edc
1qaz2wsx3edc4rfv 1q2w3e4r5t6y 1q2w3e4r5t6y7u 1q2w3e4r5t6y7u8i 1q2w3e4r5t6y7u8i9o0p q1w2e3r4t5y6
q1w2e3r4t5y6u7 zaq12wsxcde3 zaq1xsw2cde3 zaq1xsw2cde3vfr4 asdfghjkl123 asdfghjkl1234 zxcvbnm12345
zxcvbnm123456 zxcvbnmasdfg qazwsxedcrfv qazwsxedc123 abcdefghijkl abcdefghijklm abcdefghijklmn
abcdefghijklmnop abcdefghijklmnopqrstuvwxyz abcdef123456 abc123456789 abcd12345678 a1b2c3d4e5f6
aa1234567890 a12345678901 password1234 password12345 password123456 password1234567 password12345678
password123456789 password2023 password2024 password2025 password2026 passwordpassword
password1password passw0rd1234 p@ssw0rd1234 p@ssword1234 passwort1234 passwort12345 passwort123456
motdepasse123 motdepasse1234 contraseña123 contrasena123 contrasena1234 welcome12345 welcome123456
welcome12024 welcome2024! welcome2025! welcome2026! administrator administrator1 administrator123
administrator1234 adminadmin12 adminadmin123 admin1234567 admin12345678 admin123456789
admin1234admin rootroot1234 letmein12345 letmein123456 letmeinplease iloveyou1234 iloveyou12345
iloveyou123456 iloveyouforever iloveyoubaby iloveyousomuch iloveyou2much iloveyou3000 iloveyoulots
sunshine1234 sunshine12345 princess1234 princess12345 football1234 football12345 baseball1234
baseball12345 superman1234 superman12345 starwars1234 basketball12 basketball123 changeme1234
changeme12345 changemeplease changethispassword changeme123! thisisapassword thisismypassword
mypassword123 mypassword1234 mypassword12 newpassword1 newpassword12 newpassword123 secretpassword
supersecret1 supersecret12 supersecret123 topsecret123 testpassword testpassword1 testtest1234
testtesttest test12345678 test123456789 testing12345 testing123456 correcthorsebatterystaple
trustno1trustno1 qweasdzxc123 qweasdzxc1234 qwerasdfzxcv qwerasdf1234 1234qwerasdf 1234qwerasdfzxcv
qwer1234asdf asdf1234asdf asdfasdfasdf qweqweqweqwe asdasdasdasd 123qweasdzxc 123qwe123qwe
123123123123 123456123456 12341234123 111111111111 000000000000 999999999999 112233445566
11223344556677 102030405060 147258369147 159753159753 741852963741 summer2023!! summer202412
summer202512 winter202412 winter202512 spring202512 autumn202512 january12345 september2024
september2025 december2024 december2025 companyname1 gatehouse123 gatehouse1234 gatehouseadmin
defaultpassword temporary123 temporarypassword temppassword temppassword1 temppass1234 unknown12345
michaeljordan jesuschrist1 jesuslovesme jesusislord1 godislove123 godisgood123 manchesterunited
liverpoolfc1 chelseafc123 realmadrid12 barcelona123 barcelona1234 pokemon12345 minecraft123
minecraft1234 harrypotter1 harrypotter123 spiderman123 spiderman1234 computer1234 computer12345
internet1234 samsung12345 facebook1234 charlie12345 michelle1234 jennifer1234 jonathan1234
elizabeth123 alexander123 alexandra123 christian123 christopher1 christopher12 stephanie123
sweetheart12 beautiful123
`
    .trim()
    .split(/\s+/),
);
