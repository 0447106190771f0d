#!/usr/bin/env bash
# openai-java 4.101.0 waits for eight seconds at most, whatever `Retry-After` says.
#
# Behaviour: a 429 with `Retry-After: 20` is followed by the next try after eight seconds, and after the last one the caller gets the 429. Python's and Go's libraries of the same maker wait for the
# whole 20 seconds. A server whose window is longer than 16 seconds is asked three times in vain, and its caller is told of a limit that a longer wait would have outlived.
# Seen with: openai-java 4.101.0, Java 17. Needs java, javac, mvn and node on the PATH.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
cat > pom.xml <<'XML'
<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion><groupId>a</groupId><artifactId>b</artifactId><version>1</version><dependencies><dependency><groupId>com.openai</groupId><artifactId>openai-java</artifactId><version>4.101.0</version></dependency></dependencies></project>
XML
mvn --quiet --batch-mode dependency:copy-dependencies -DoutputDirectory=jars > /dev/null
cat > Try.java <<'JAVA'
import com.openai.client.okhttp.OpenAIOkHttpClient;
import com.openai.errors.RateLimitException;
import com.openai.models.images.ImageGenerateParams;

public class Try {
    public static void main(String[] args) {
        var client = OpenAIOkHttpClient.builder().baseUrl(args[0]).apiKey("k").maxRetries(1).build();
        try {
            client.images().generate(ImageGenerateParams.builder().prompt("a").build());
        } catch (RateLimitException error) {
            System.out.println("RateLimitException");
        }
        System.exit(0);
    }
}
JAVA
javac -cp 'jars/*' Try.java
cat > server.mjs <<'JS'
import { createServer } from 'node:http'
import { execFile } from 'node:child_process'

const at = []
// Longer than the pause: a connection that is closed meanwhile is another story.
const server = createServer({ keepAliveTimeout: 60_000 }, (request, response) => {
  at.push(performance.now())
  request.resume().on('end', () => {
    response.writeHead(429, { 'content-type': 'application/json', 'retry-after': '20' }).end('{"error":{"message":"later","type":"requests","param":null,"code":null}}')
  })
})
await new Promise(resolve => { server.listen(0, '127.0.0.1', resolve) })
execFile('java', ['-cp', '.:jars/*', 'Try', `http://127.0.0.1:${server.address().port}/v1`], (_error, said) => {
  const pauseSeconds = (at[1] - at[0]) / 1000
  console.log(`${at.length} tries, ${pauseSeconds > 7.5 && pauseSeconds < 15 ? 'about 8' : pauseSeconds.toFixed(1)} seconds apart, told 20: ${said.trim()}`)
  server.close()
})
JS
seen=$(node server.mjs)
expected='2 tries, about 8 seconds apart, told 20: RateLimitException'
echo "$seen"
[ "$seen" = "$expected" ] || { echo "changed: expected $expected" >&2; exit 1; }
